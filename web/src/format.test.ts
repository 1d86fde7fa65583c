import { describe, expect, it } from "vitest";
import {
  formatBytes,
  formatChange,
  formatFigure,
  formatInterval,
  formatRatio,
  formatSeconds,
  formatTime,
  significant,
} from "./format";

describe("format", () => {
  it("keeps three significant digits and never writes a known size as an exponent", () => {
    expect(significant(0.0123456)).toBe("0.0123");
    expect(significant(1234.5)).toBe("1,235");
    expect(significant(0)).toBe("0");
    expect(significant(0.00001)).toBe("1.0e-5");
  });

  it("writes device memory in binary units", () => {
    expect(formatBytes(24 * 1024 ** 3)).toBe("24 GiB");
    expect(formatBytes(512)).toBe("512 B");
    expect(formatBytes(11_547_040)).toBe("11 MiB");
  });

  it("picks the natural unit of time", () => {
    expect(formatSeconds(0.0123)).toBe("12.3 ms");
    expect(formatSeconds(2.5)).toBe("2.5 s");
    expect(formatSeconds(2e-5)).toBe("20 µs");
  });

  it("shows an interval only when it is known and has width", () => {
    const figure = { value: 0.0031, unit: "ratio", basis: "measured", evidence: [] } as const;
    expect(formatFigure({ ...figure, evidence: [] })).toBe("0.31 %");
    const interval = { lo: 0.001, hi: 0.005, confidence: 0.9 };
    expect(formatFigure({ ...figure, evidence: [], interval })).toBe("0.31 % [0.1 %, 0.5 %]");
    expect(
      formatFigure({ ...figure, evidence: [], interval: { lo: 0.0031, hi: 0.0031, confidence: 0.9 } }),
    ).toBe("0.31 %");
    expect(formatRatio(-0.002)).toBe("-0.2 %");
    expect(formatInterval({ ...figure, evidence: [], interval })).toBe("[0.1 %, 0.5 %]");
    expect(formatInterval({ ...figure, evidence: [] })).toBeNull();
  });

  it("writes changes with their sign and times in UTC", () => {
    expect(formatChange(3.875)).toBe("+388 %");
    expect(formatChange(-0.8857)).toBe("-88.6 %");
    expect(formatTime("2026-01-31T10:30:59.5+01:00")).toBe("2026-01-31 09:30 UTC");
    expect(formatTime("yesterday")).toBe("yesterday");
  });
});

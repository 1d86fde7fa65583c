import { describe, expect, it } from "vitest";
import { linearScale, step } from "./scale";

describe("linearScale", () => {
  it("takes round steps", () => {
    expect(step(24, 6)).toBe(2);
    expect(step(0.9, 4)).toBeCloseTo(0.2);
    expect(step(1.7, 4)).toBeCloseTo(0.2);
  });

  it("covers every value and starts at zero or below", () => {
    const scale = linearScale([-0.3, 1.2, 7.9], 0, 100);
    expect(scale.ticks[0]).toBeLessThanOrEqual(-0.3);
    expect(scale.ticks.at(-1)).toBeGreaterThanOrEqual(7.9);
    for (const value of [-0.3, 1.2, 7.9]) {
      expect(scale.toPixel(value)).toBeGreaterThanOrEqual(0);
      expect(scale.toPixel(value)).toBeLessThanOrEqual(100);
    }
  });

  it("survives values that are all the same, or none", () => {
    expect(linearScale([0, 0], 0, 100).ticks.every(Number.isFinite)).toBe(true);
    expect(linearScale([], 0, 100).toPixel(0)).toBeGreaterThanOrEqual(0);
  });
});

import { describe, expect, it } from "vitest";
import { linearScale, step } from "./scale";

describe("linearScale", () => {
  it("takes round steps", () => {
    expect(step(24, 6)).toBe(5);
    expect(step(10, 5)).toBe(2);
    expect(step(0.9, 5)).toBeCloseTo(0.2);
    expect(step(1.7, 5)).toBeCloseTo(0.5);
    expect(step(9, 1)).toBe(10);
  });

  it("covers every value and zero", () => {
    for (const values of [[-0.3, 1.2, 7.9], [-0.293], [5e-5], [1, 120_000], [-4, -1]]) {
      const scale = linearScale(values, 0, 100);
      expect(scale.ticks).toContain(0);
      expect(scale.ticks.length).toBeLessThanOrEqual(7);
      expect(new Set(scale.ticks).size).toBe(scale.ticks.length);
      for (const value of [0, ...values]) {
        expect(scale.toPixel(value)).toBeGreaterThan(-1e-6);
        expect(scale.toPixel(value)).toBeLessThan(100 + 1e-6);
      }
    }
  });

  it("survives values that are all zero, or none", () => {
    expect(linearScale([0, 0], 0, 100, 5, 1).ticks).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(linearScale([], 0, 100).toPixel(0)).toBe(0);
  });
});

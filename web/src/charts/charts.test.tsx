import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import type { Figure } from "../api/types";
import { recommended } from "../fixtures";
import { show } from "../test-render";
import { type ChartPoint, chartPoints, lossLimit, stairs } from "./frontier";
import { MemoryBar } from "./MemoryBar";
import { ParetoChart } from "./ParetoChart";

const GIB = 1024 ** 3;
const bytes = (value: number): Figure => ({ value: value * GIB, unit: "bytes", basis: "modelled" });

describe("MemoryBar", () => {
  const memory = {
    weights: bytes(13),
    kv_cache: bytes(1),
    activations: bytes(1),
    overhead: bytes(1),
    total: bytes(16),
    devices: 1,
  };

  it("draws the terms to scale against the capacity", () => {
    const { container } = render(
      <MemoryBar memory={{ ...memory, capacity: bytes(32), fit_probability: 0.9999 }} />,
    );
    expect(Number(container.querySelector("rect.memory-weights")?.getAttribute("width"))).toBeCloseTo(
      (100 * 13) / 32,
    );
    expect(container.querySelector("rect.memory-limit")).toBeNull();
    expect(screen.getByText(/Peak memory 16 GiB of 32 GiB/)).toBeVisible();
    expect(screen.getByText(/0\.999 or more/)).toBeVisible();
  });

  it("marks the limit when the variant needs more", () => {
    const { container } = render(
      <MemoryBar memory={{ ...memory, capacity: bytes(8), fit_probability: 0 }} />,
    );
    expect(Number(container.querySelector("rect.memory-limit")?.getAttribute("x"))).toBeCloseTo(50 - 0.2);
    expect(screen.getByText(/0\.001 or less/)).toHaveClass("over");
  });

  it("keeps the interval of the total on the drawing", () => {
    const total = { ...bytes(16), interval: { lo: 15 * GIB, hi: 40 * GIB, confidence: 0.95 } };
    const { container } = render(<MemoryBar memory={{ ...memory, total, capacity: bytes(32) }} />);
    const rect = container.querySelector("rect.memory-interval");
    expect(Number(rect?.getAttribute("x")) + Number(rect?.getAttribute("width"))).toBeCloseTo(100);
    expect(container.querySelector("rect.memory-limit")).not.toBeNull();
  });
});

const point = (id: string, memory: number, loss: number | null, kind: ChartPoint["kind"] = "frontier") => ({
  id,
  name: id,
  memory: memory * GIB,
  loss,
  tpot: null,
  kind,
});

describe("frontier", () => {
  it("takes memory of all devices together and merges the alternatives by id", () => {
    const points = chartPoints(recommended.result);
    const { chosen, alternatives, frontier } = recommended.result;
    expect(chosen.memory.devices).toBe(2);
    const drawn = points.find((p) => p.kind === "chosen");
    expect(drawn?.id).toBe(chosen.variant_id);
    expect(drawn?.memory).toBeCloseTo(2 * chosen.memory.total.value, -3);
    const ids = new Set([...alternatives, ...frontier].map((c) => c.variant_id));
    expect(points.map((p) => p.id).sort()).toEqual([...ids].sort());
    expect(points.map((p) => p.memory)).toEqual(points.map((p) => p.memory).sort((a, b) => a - b));
    expect(lossLimit(recommended)?.limit).toBe(0.01);
  });

  it("steps down only where memory buys less loss", () => {
    const points = [
      point("a", 1, 0.1),
      point("b", 2, 0.2),
      point("c", 3, null),
      point("d", 4, -0.01),
      point("e", 5, -0.5, "other"),
    ];
    expect(stairs(points).map((p) => p.id)).toEqual(["a", "d"]);
  });
});

describe("ParetoChart", () => {
  const dot = (name: string) => {
    const circle = screen.getByRole("link", { name: new RegExp(`^${name}:`) }).querySelector(".dot");
    return { x: Number(circle?.getAttribute("cx")), y: Number(circle?.getAttribute("cy")) };
  };

  it("keeps unknown losses off the axis and says them in words", async () => {
    const points = [point("int4", 8, null), point("int8", 14, 0.001, "chosen"), point("bf16", 28, 0)];
    const { container } = await show(<ParetoChart points={points} unit="ratio" devices={1} />);
    expect(screen.getByRole("link", { name: "int4: 8 GiB, loss unknown, TPOT unknown" })).toBeInTheDocument();
    const zero = container.querySelector(".grid.zero line");
    expect(dot("int4").y).toBeGreaterThan(Number(zero?.getAttribute("y1")));
    expect(dot("bf16").y).toBeCloseTo(Number(zero?.getAttribute("y1")));
    expect(container.querySelector(".strip")).not.toBeNull();
    expect(container.querySelector(".pareto-label")).toHaveTextContent("int8");
  });

  it("draws one point, and losses below zero", async () => {
    const { container } = await show(
      <ParetoChart points={[point("only", 8, -0.00293, "chosen")]} unit="ratio" devices={1} limit={0.01} />,
    );
    const labels = [...container.querySelectorAll(".grid text")].map((text) => text.textContent);
    expect(new Set(labels).size).toBe(labels.length);
    expect(labels).toContain("0");
    expect(container.querySelector(".strip")).toBeNull();
    const limit = Number(container.querySelector(".axes .limit")?.getAttribute("y1"));
    expect(dot("only").y).toBeGreaterThan(limit);
    expect(screen.getByText("loss, %")).toBeInTheDocument();
    expect(screen.getByText("peak memory, GiB")).toBeInTheDocument();
  });

  it("is one stop of the Tab key, and arrows go from point to point by memory", async () => {
    const points = Array.from({ length: 40 }, (_, i) =>
      point(`v${i}`, 1 + i, 0.2 / (1 + i), i === 20 ? "chosen" : "frontier"),
    );
    const { container } = await show(<ParetoChart points={points} unit="points" devices={2} />);
    await userEvent.tab();
    expect(document.activeElement).toHaveAccessibleName(/^v20:/);
    await userEvent.keyboard("{ArrowRight}{ArrowRight}{ArrowLeft}");
    expect(document.activeElement).toHaveAccessibleName(/^v21:/);
    expect(container.querySelector(".pareto-label")).toHaveTextContent("v21");
    await userEvent.keyboard("{End}{ArrowRight}");
    expect(document.activeElement).toHaveAccessibleName(/^v39:/);
    expect(container.querySelectorAll('a[tabindex="0"]')).toHaveLength(1);
    expect(screen.getByText("peak memory of 2 devices together, GiB")).toBeInTheDocument();
  });

  it("says when there is nothing to draw", async () => {
    await show(<ParetoChart points={[]} unit="ratio" devices={1} />);
    expect(screen.getByText(/No candidate/)).toBeVisible();
  });
});

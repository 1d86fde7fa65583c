import { render, screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Figure } from "../api/types";
import { MemoryBar } from "./MemoryBar";
import { ParetoChart } from "./ParetoChart";

const GIB = 1024 ** 3;
const bytes = (value: number): Figure => ({
  value: value * GIB,
  unit: "bytes",
  basis: "modelled",
  evidence: [],
});

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
  });

  it("marks the limit when the variant needs more", () => {
    const { container } = render(<MemoryBar memory={{ ...memory, capacity: bytes(8) }} />);
    expect(container.querySelector("rect.memory-limit")).not.toBeNull();
  });
});

describe("ParetoChart", () => {
  it("keeps unknown losses off the axis and says them in words", () => {
    const points = [
      {
        variant_id: "a",
        name: "int8",
        memory_bytes: 14 * GIB,
        loss: 0.001,
        tpot_seconds: 0.02,
        chosen: true,
      },
      { variant_id: "b", name: "int4", memory_bytes: 8 * GIB, loss: null, tpot_seconds: null, chosen: false },
    ];
    const { container } = render(<ParetoChart points={points} />);
    expect(container.querySelectorAll(".point")).toHaveLength(2);
    expect(container.querySelectorAll(".point.chosen")).toHaveLength(1);
    expect(screen.getByText("int4: 8 GiB, loss unknown, speed unknown", { selector: "li" })).toBeInTheDocument();
    expect(container.querySelector("polyline")?.getAttribute("points")?.split(" ")).toHaveLength(1);
  });

  it("says when there is nothing to draw", () => {
    render(<ParetoChart points={[]} />);
    expect(screen.getByText(/No candidate/)).toBeVisible();
  });
});

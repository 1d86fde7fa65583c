/** What the Pareto chart draws: the frontier, the candidates behind it, and the stairs that nothing lies below. */

import type { Candidate, FrontierPoint, LossLimit, Plan, Recommended } from "../api/types";
import { formatBytes, formatSeconds, formatValue } from "../format";

/** A candidate in the plane of memory and loss. */
export interface ChartPoint {
  id: string;
  name: string;
  /** Bytes on all devices together. */
  memory: number;
  /** A ratio or points, as the question's loss limit has it; null when it is not known. */
  loss: number | null;
  /** Seconds for an output token; null when it is not known. */
  tpot: number | null;
  kind: "chosen" | "frontier" | "other";
}

export type LossUnit = "ratio" | "points";

function ofFrontier(point: FrontierPoint): ChartPoint {
  return {
    id: point.variant_id,
    name: point.name,
    memory: point.memory_bytes,
    loss: point.loss ?? null,
    tpot: point.tpot_seconds ?? null,
    kind: point.chosen ? "chosen" : "frontier",
  };
}

function ofCandidate(candidate: Candidate): ChartPoint {
  return {
    id: candidate.variant_id,
    name: candidate.name,
    memory: candidate.memory.total.value * (candidate.memory.devices ?? 1),
    loss: candidate.loss?.figure.value ?? null,
    tpot: candidate.latency?.tpot?.value ?? null,
    kind: "other",
  };
}

/** The frontier and the alternatives that are not on it, smallest memory first. */
export function chartPoints(result: Recommended): ChartPoint[] {
  const frontier = result.frontier.map(ofFrontier);
  const drawn = new Set(frontier.map((point) => point.id));
  const others = result.alternatives.filter((c) => !drawn.has(c.variant_id)).map(ofCandidate);
  return [...frontier, ...others].sort(
    (a, b) => a.memory - b.memory || (a.loss ?? Infinity) - (b.loss ?? Infinity),
  );
}

/** Points of known loss that no other one beats on memory and loss, smallest memory first. */
export function stairs(points: ChartPoint[]): ChartPoint[] {
  let best = Infinity;
  return points.filter((point) => {
    if (point.kind === "other" || point.loss === null || point.loss >= best) return false;
    best = point.loss;
    return true;
  });
}

/** The question's loss limit, by which every loss of its answer is counted. */
export function lossLimit(plan: Plan): LossLimit | undefined {
  return plan.scenario.constraints?.find((constraint) => constraint.type === "loss");
}

/** "8.4 GiB, loss 0.31 %, TPOT 12 ms". */
export function describePoint(point: ChartPoint, unit: LossUnit): string {
  const loss = point.loss === null ? "loss unknown" : `loss ${formatValue(point.loss, unit)}`;
  const speed = point.tpot === null ? "TPOT unknown" : `TPOT ${formatSeconds(point.tpot)}`;
  return `${formatBytes(point.memory)}, ${loss}, ${speed}`;
}

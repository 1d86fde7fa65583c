/** A linear scale with round tick values. */

export interface Scale {
  toPixel: (value: number) => number;
  ticks: number[];
}

/** The smallest of 1, 2, 5 × 10ⁿ that covers `span` in at most `count` steps. */
export function step(span: number, count: number): number {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const lead = raw / power;
  const round = [1, 2, 5].find((candidate) => lead <= candidate * (1 + 1e-9)) ?? 10;
  return round * power;
}

/** A scale that holds zero and every value; when all of them are zero it ends at `least`. */
export function linearScale(values: number[], from: number, to: number, ticks = 5, least = 1): Scale {
  const low = Math.min(0, ...values);
  const largest = Math.max(0, ...values);
  const high = low === largest ? least : largest;
  const size = step(high - low, ticks);
  const first = Math.floor(low / size + 1e-9) * size;
  const last = Math.ceil(high / size - 1e-9) * size;
  const count = Math.round((last - first) / size);
  return {
    toPixel: (value) => from + ((value - first) / (last - first)) * (to - from),
    ticks: Array.from({ length: count + 1 }, (_, i) => Number((first + i * size).toPrecision(12))),
  };
}

/** A linear scale with round tick values. */

export interface Scale {
  toPixel: (value: number) => number;
  ticks: number[];
}

/** The largest of 1, 2, 5 × 10ⁿ that gives at least `count` steps over `span`. */
export function step(span: number, count: number): number {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const lead = raw / power;
  return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * power;
}

export function linearScale(values: number[], from: number, to: number, ticks = 4): Scale {
  const low = Math.min(0, ...values);
  const high = Math.max(...values, low + 1e-9);
  const size = step(high - low, ticks);
  const first = Math.floor(low / size) * size;
  const last = Math.ceil(high / size) * size;
  const count = Math.round((last - first) / size);
  return {
    toPixel: (value) => from + ((value - first) / (last - first)) * (to - from),
    ticks: Array.from({ length: count + 1 }, (_, i) => Number((first + i * size).toPrecision(12))),
  };
}

/** Figures as people read them; the same conventions as the command line. */

import type { Figure, Unit } from "./api/types";

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Three significant digits, never in exponent form for numbers people know. */
export function significant(value: number): string {
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  if (magnitude >= 999.5) return Math.round(value).toLocaleString("en");
  if (magnitude < 1e-4) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

export function formatBytes(value: number): string {
  let magnitude = Math.abs(value);
  let step = 0;
  while (magnitude >= 1024 && step < BINARY.length - 1) {
    magnitude /= 1024;
    step += 1;
  }
  return `${significant(Math.sign(value) * magnitude)} ${BINARY[step]}`;
}

export function formatSeconds(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude >= 1) return `${significant(value)} s`;
  if (magnitude >= 1e-3) return `${significant(value * 1e3)} ms`;
  return `${significant(value * 1e6)} µs`;
}

export function formatRatio(value: number): string {
  return `${significant(value * 100)} %`;
}

export function formatValue(value: number, unit: Unit): string {
  switch (unit) {
    case "bytes":
      return formatBytes(value);
    case "seconds":
      return formatSeconds(value);
    case "ratio":
      return formatRatio(value);
    case "points":
      return `${significant(value)} pp`;
    case "count":
      return Math.round(value).toLocaleString("en");
    case "perplexity":
    case "score":
      return String(Number(value.toPrecision(4)));
    default:
      return `${significant(value)} ${unit}`;
  }
}

/** "0.31 % [0.1 %, 0.5 %]"; a missing interval is left out, never shown as zero width. */
export function formatFigure(figure: Figure): string {
  const value = formatValue(figure.value, figure.unit);
  const interval = figure.interval;
  if (!interval || interval.lo === interval.hi) return value;
  return `${value} [${formatValue(interval.lo, figure.unit)}, ${formatValue(interval.hi, figure.unit)}]`;
}

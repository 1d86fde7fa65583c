/** Figures as people read them; the same conventions as the command line. */

import type { Figure, Unit } from "./api/types";

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A few significant digits, never in exponent form for numbers people know. */
export function significant(value: number, digits = 3): string {
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  if (magnitude >= 10 ** digits - 0.5) return Math.round(value).toLocaleString("en");
  if (magnitude < 1e-4) return value.toExponential(1);
  return String(Number(value.toPrecision(digits)));
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
    case "joules":
      return `${significant(value)} J`;
    case "perplexity":
    case "score":
      return significant(value, 4);
    default:
      return `${significant(value)} ${unit}`;
  }
}

/** "[0.1 %, 0.5 %]"; null where the interval is unknown or has no width, which is not the same as zero. */
export function formatInterval({ interval, unit }: Figure): string | null {
  if (!interval || interval.lo === interval.hi) return null;
  return `[${formatValue(interval.lo, unit)}, ${formatValue(interval.hi, unit)}]`;
}

/** "0.31 % [0.1 %, 0.5 %]". */
export function formatFigure(figure: Figure): string {
  return [formatValue(figure.value, figure.unit), formatInterval(figure)].filter(Boolean).join(" ");
}

/** A relative change with its sign: "+388 %", "-88.6 %". */
export function formatChange(value: number): string {
  return `${value > 0 ? "+" : ""}${formatRatio(value)}`;
}

/** A time of the server, to the minute, in UTC: "2026-01-31 09:30 UTC". */
export function formatTime(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? iso : `${time.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

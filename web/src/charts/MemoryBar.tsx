import type { MemoryEstimate } from "../api/types";
import { FigureText } from "../components/FigureText";
import { formatBytes, formatFigure } from "../format";

const TERMS = [
  { key: "weights", label: "weights" },
  { key: "kv_cache", label: "KV cache" },
  { key: "activations", label: "activations" },
  { key: "overhead", label: "runtime overhead" },
] as const;

function fitWords(probability: number): string {
  if (probability > 0.999) return "fits with probability 0.999 or more";
  if (probability < 0.001) return "fits with probability 0.001 or less";
  return `fits with probability ${probability.toFixed(3)}`;
}

/** Peak memory of one device, drawn to scale against its capacity, with the interval of the total. */
export function MemoryBar({ memory }: { memory: MemoryEstimate }) {
  const { total } = memory;
  const capacity = memory.capacity?.value;
  const scale = Math.max(capacity ?? 0, total.value, total.interval?.hi ?? 0);
  const share = (bytes: number) => (100 * bytes) / scale;
  let left = 0;
  const segments = TERMS.map(({ key, label }) => {
    const width = share(memory[key].value);
    const segment = { key, label, left, width, figure: memory[key] };
    left += width;
    return segment;
  });
  const over = capacity !== undefined && total.value > capacity;
  const words = `${formatBytes(total.value)}${capacity ? ` of ${formatBytes(capacity)}` : ""}`;
  return (
    <figure className="memory">
      <figcaption>
        <strong>Peak memory {words}</strong>
        {(memory.devices ?? 1) > 1 && <span> on each of {memory.devices} devices</span>}
        {memory.fit_probability != null && (
          <span className={over ? "over" : "muted"}> · {fitWords(memory.fit_probability)}</span>
        )}
      </figcaption>
      <svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label={`Peak memory ${words}`}>
        <rect className="memory-free" width="100" height="8" />
        {segments.map((s) => (
          <rect key={s.key} className={`memory-${s.key}`} x={s.left} width={s.width} height="8">
            <title>{`${s.label}: ${formatFigure(s.figure)} ${s.figure.basis}`}</title>
          </rect>
        ))}
        {total.interval && (
          <rect
            className="memory-interval"
            x={share(total.interval.lo)}
            width={share(total.interval.hi - total.interval.lo)}
            y="3.5"
            height="1"
          >
            <title>{`total: ${formatFigure(total)} ${total.basis}`}</title>
          </rect>
        )}
        {capacity !== undefined && capacity < scale && (
          <rect className="memory-limit" x={share(capacity) - 0.2} width="0.4" height="8" />
        )}
      </svg>
      <ul className="legend">
        {segments.map((s) => (
          <li key={s.key}>
            <span className={`swatch memory-${s.key}`} /> {s.label} {formatBytes(s.figure.value)}{" "}
            <span className="muted">{s.figure.basis}</span>
          </li>
        ))}
        <li>
          total <FigureText figure={total} />
        </li>
        {memory.capacity && (
          <li>
            {capacity !== undefined && capacity < scale && <span className="swatch memory-limit" />} usable
            capacity <FigureText figure={memory.capacity} />
          </li>
        )}
      </ul>
    </figure>
  );
}

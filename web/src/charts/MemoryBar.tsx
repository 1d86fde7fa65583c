import type { MemoryEstimate } from "../api/types";
import { formatBytes } from "../format";

const TERMS = [
  { key: "weights", label: "weights" },
  { key: "kv_cache", label: "KV cache" },
  { key: "activations", label: "activations" },
  { key: "overhead", label: "runtime overhead" },
] as const;

/** Peak memory of one device, drawn to scale against its capacity. */
export function MemoryBar({ memory }: { memory: MemoryEstimate }) {
  const capacity = memory.capacity?.value;
  const scale = Math.max(capacity ?? 0, memory.total.value);
  let left = 0;
  const segments = TERMS.map(({ key, label }) => {
    const width = (100 * memory[key].value) / scale;
    const segment = { key, label, left, width, bytes: memory[key].value, basis: memory[key].basis };
    left += width;
    return segment;
  });
  const words = `${formatBytes(memory.total.value)}${capacity ? ` of ${formatBytes(capacity)}` : ""}`;
  return (
    <figure className="memory">
      <figcaption>
        <strong>Peak memory {words}</strong>
        {(memory.devices ?? 1) > 1 && <span> per device, {memory.devices} devices</span>}
        {memory.fit_probability != null && (
          <span className="muted">
            {" "}
            · fits with probability {Math.min(memory.fit_probability, 0.999).toFixed(3)}
            {memory.fit_probability > 0.999 ? " or more" : ""}
          </span>
        )}
      </figcaption>
      <svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label={`Peak memory ${words}`}>
        <rect className="memory-free" width="100" height="8" />
        {segments.map((s) => (
          <rect key={s.key} className={`memory-${s.key}`} x={s.left} width={s.width} height="8">
            <title>{`${s.label}: ${formatBytes(s.bytes)} (${s.basis})`}</title>
          </rect>
        ))}
        {capacity !== undefined && capacity < scale && (
          <rect className="memory-limit" x={(100 * capacity) / scale - 0.25} width="0.5" height="8" />
        )}
      </svg>
      <ul className="legend">
        {segments.map((s) => (
          <li key={s.key}>
            <span className={`swatch memory-${s.key}`} /> {s.label} {formatBytes(s.bytes)}{" "}
            <span className="muted">{s.basis}</span>
          </li>
        ))}
      </ul>
    </figure>
  );
}

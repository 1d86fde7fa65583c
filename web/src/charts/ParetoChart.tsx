import type { FrontierPoint } from "../api/types";
import { formatBytes, formatRatio, formatSeconds, significant } from "../format";
import { linearScale } from "./scale";

const WIDTH = 640;
const HEIGHT = 300;
const PAD = { left: 64, right: 16, top: 12, bottom: 62 };
const GIB = 1024 ** 3;

function describe(point: FrontierPoint): string {
  const loss = point.loss == null ? "loss unknown" : `loss ${formatRatio(point.loss)}`;
  const speed = point.tpot_seconds == null ? "speed unknown" : `TPOT ${formatSeconds(point.tpot_seconds)}`;
  return `${point.name}: ${formatBytes(point.memory_bytes)}, ${loss}, ${speed}`;
}

/** The frontier: memory against loss. Candidates of unknown loss stand on a strip of their own, never at zero. */
export function ParetoChart({ points }: { points: FrontierPoint[] }) {
  if (points.length === 0) return <p className="muted">No candidate is on the frontier.</p>;
  const known = points.filter((p) => p.loss != null);
  const unknown = points.filter((p) => p.loss == null);
  const small = Math.max(...points.map((p) => p.memory_bytes)) < GIB;
  const unit = small ? 1024 ** 2 : GIB;
  const x = linearScale(
    points.map((p) => p.memory_bytes / unit),
    PAD.left,
    WIDTH - PAD.right,
    6,
  );
  const bottom = HEIGHT - PAD.bottom;
  const y = linearScale(
    known.map((p) => 100 * (p.loss ?? 0)),
    bottom,
    PAD.top,
  );
  const line = [...known].sort((a, b) => a.memory_bytes - b.memory_bytes);
  const mark = (point: FrontierPoint, cy: number) => (
    <g key={point.variant_id} className={point.chosen ? "point chosen" : "point"}>
      <circle cx={x.toPixel(point.memory_bytes / unit)} cy={cy} r={point.chosen ? 7 : 5}>
        <title>{describe(point)}</title>
      </circle>
    </g>
  );
  return (
    <figure className="pareto">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label="Frontier: peak memory against loss">
        {known.length > 0 &&
          y.ticks.map((tick) => (
            <g key={tick} className="grid">
              <line x1={PAD.left} x2={WIDTH - PAD.right} y1={y.toPixel(tick)} y2={y.toPixel(tick)} />
              <text x={PAD.left - 8} y={y.toPixel(tick) + 4} textAnchor="end">
                {significant(tick)} %
              </text>
            </g>
          ))}
        {x.ticks.map((tick) => (
          <text key={tick} className="tick" x={x.toPixel(tick)} y={HEIGHT - 22} textAnchor="middle">
            {significant(tick)}
          </text>
        ))}
        <text className="axis" x={(PAD.left + WIDTH - PAD.right) / 2} y={HEIGHT - 4} textAnchor="middle">
          peak memory of one device, {small ? "MiB" : "GiB"}
        </text>
        <text
          className="axis"
          transform={`translate(14 ${(PAD.top + bottom) / 2}) rotate(-90)`}
          textAnchor="middle"
        >
          loss
        </text>
        <polyline
          className="frontier-line"
          points={line
            .map((p) => `${x.toPixel(p.memory_bytes / unit)},${y.toPixel(100 * (p.loss ?? 0))}`)
            .join(" ")}
        />
        {known.map((p) => mark(p, y.toPixel(100 * (p.loss ?? 0))))}
        {unknown.length > 0 && (
          <>
            <text className="tick" x={PAD.left - 8} y={HEIGHT - 40} textAnchor="end">
              unknown
            </text>
            {unknown.map((p) => mark(p, HEIGHT - 44))}
          </>
        )}
      </svg>
      <ul className="visually-hidden">
        {points.map((p) => (
          <li key={p.variant_id}>{describe(p)}</li>
        ))}
      </ul>
    </figure>
  );
}

import { type KeyboardEvent, useRef, useState } from "react";
import { VariantLink } from "../components/VariantLink";
import { type ChartPoint, describePoint, type LossUnit, stairs } from "./frontier";
import { type Box, ParetoAxes } from "./ParetoAxes";
import { linearScale } from "./scale";
import { useWidth } from "./useWidth";

const HEIGHT = 340;
const PAD = { left: 68, right: 20, top: 16, bottom: 52 };
const STRIP = 34;
const GIB = 1024 ** 3;
const STEPS: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

interface Props {
  /** Smallest memory first. */
  points: ChartPoint[];
  unit: LossUnit;
  /** The loss limit asked for, in `unit`. */
  limit?: number | undefined;
  devices: number;
}

/** Memory against loss. Candidates of unknown loss stand on a strip of their own, never at zero. */
export function ParetoChart({ points, unit, limit, devices }: Props) {
  const [frame, width] = useWidth<HTMLDivElement>(720);
  const [active, setActive] = useState<string | null>(null);
  const [stop, setStop] = useState<string | null>(null);
  const links = useRef(new Map<string, HTMLAnchorElement>());
  if (points.length === 0) return <p className="muted">No candidate is on the frontier.</p>;

  const known = points.filter((p) => p.loss !== null);
  const floor = HEIGHT - PAD.bottom;
  const box: Box = {
    width,
    height: HEIGHT,
    left: PAD.left,
    right: width - PAD.right,
    top: PAD.top,
    bottom: known.length < points.length ? floor - STRIP : floor,
    floor,
  };
  const bytes = Math.max(...points.map((p) => p.memory)) < GIB ? 1024 ** 2 : GIB;
  const x = linearScale(
    points.map((p) => p.memory / bytes),
    box.left,
    box.right,
    Math.max(3, Math.round(width / 90)),
  );
  const percent = (loss: number) => (unit === "ratio" ? 100 * loss : loss);
  const bound = limit === undefined ? [] : [percent(limit)];
  const y = linearScale([...known.map((p) => percent(p.loss ?? 0)), ...bound], box.bottom, box.top);
  const place = (p: ChartPoint) => ({
    x: x.toPixel(p.memory / bytes),
    y: p.loss === null ? floor - STRIP / 2 : y.toPixel(percent(p.loss)),
  });
  const path = stairs(points)
    .map(place)
    .map((at, i) => (i === 0 ? `M${at.x},${at.y}` : `H${at.x}V${at.y}`))
    .join("");
  const chosen = points.find((p) => p.kind === "chosen");
  const labelled = points.find((p) => p.id === active) ?? chosen;
  const tabStop = points.find((p) => p.id === stop) ?? chosen ?? points[0];
  // The chosen one is drawn last, so that no equal hides it.
  const drawn = [...points].sort((a, b) => Number(a.kind === "chosen") - Number(b.kind === "chosen"));

  /** Arrow keys go from point to point by memory; the chart is a single stop of the Tab key. */
  const move = (event: KeyboardEvent, from: ChartPoint) => {
    const edge = { Home: 0, End: points.length - 1 }[event.key];
    const by = STEPS[event.key];
    const next = edge ?? (by === undefined ? undefined : points.indexOf(from) + by);
    const target = next === undefined ? undefined : points[next];
    if (!target) return;
    event.preventDefault();
    links.current.get(target.id)?.focus();
  };

  return (
    <figure className="pareto">
      <div className="pareto-frame" ref={frame}>
        <ParetoAxes
          box={box}
          x={x}
          y={known.length > 0 ? y : null}
          xTitle={`peak memory${devices > 1 ? ` of ${devices} devices together` : ""}, ${bytes === GIB ? "GiB" : "MiB"}`}
          yTitle={`loss, ${unit === "ratio" ? "%" : "percentage points"}`}
          limit={bound[0]}
        />
        <svg width={width} height={HEIGHT} aria-label="Candidates by peak memory and loss">
          <path className="stairs" d={path} />
          {drawn.map((point) => {
            const at = place(point);
            return (
              <VariantLink
                key={point.id}
                id={point.id}
                ref={(node) => {
                  if (node) links.current.set(point.id, node);
                  else links.current.delete(point.id);
                }}
                className={`point point-${point.kind}`}
                aria-label={`${point.name}: ${describePoint(point, unit)}`}
                tabIndex={point === tabStop ? 0 : -1}
                onFocus={() => {
                  setActive(point.id);
                  setStop(point.id);
                }}
                onBlur={() => setActive(null)}
                onMouseEnter={() => setActive(point.id)}
                onMouseLeave={() => setActive(null)}
                onKeyDown={(event) => move(event, point)}
              >
                <circle className="target" cx={at.x} cy={at.y} r="12" />
                <circle className="dot" cx={at.x} cy={at.y} r={point.kind === "chosen" ? 7 : 5} />
              </VariantLink>
            );
          })}
        </svg>
        {labelled && <Label point={labelled} at={place(labelled)} width={width} unit={unit} />}
      </div>
      <figcaption>
        <ul className="legend">
          {chosen && <Key kind="chosen" words="recommended" />}
          {points.some((p) => p.kind === "frontier") && (
            <Key kind="frontier" words="frontier: nothing beats it on memory, loss and speed at once" />
          )}
          {points.some((p) => p.kind === "other") && <Key kind="other" words="other candidates" />}
          {limit !== undefined && known.length > 0 && <Key kind="limit" words="loss limit" />}
        </ul>
      </figcaption>
    </figure>
  );
}

function Key({ kind, words }: { kind: ChartPoint["kind"] | "limit"; words: string }) {
  return (
    <li>
      <svg className="key" width="16" height="12" aria-hidden="true">
        {kind === "limit" ? (
          <line className="limit" x1="0" x2="16" y1="6" y2="6" />
        ) : (
          <g className={`point point-${kind}`}>
            <circle className="dot" cx="8" cy="6" r="4.5" />
          </g>
        )}
      </svg>{" "}
      {words}
    </li>
  );
}

/** Name and figures of one point, beside it on the side that has room. */
function Label(props: { point: ChartPoint; at: { x: number; y: number }; width: number; unit: LossUnit }) {
  const { point, at, width, unit } = props;
  const across = at.x < width / 2 ? { left: at.x + 10 } : { right: width - at.x + 10 };
  const up = at.y > HEIGHT / 3 ? { bottom: HEIGHT - at.y + 8 } : { top: at.y + 8 };
  return (
    <div className="pareto-label" style={{ ...across, ...up }} aria-hidden="true">
      <strong>{point.name}</strong>
      <br />
      {describePoint(point, unit)}
    </div>
  );
}

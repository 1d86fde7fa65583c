import { significant } from "../format";
import type { Scale } from "./scale";

/** Where the drawing lies inside the chart, in pixels. */
export interface Box {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  /** Lower end of the known losses. */
  bottom: number;
  /** Lower end of everything: below `bottom` by the strip of unknown losses, where there is one. */
  floor: number;
}

interface Props {
  box: Box;
  x: Scale;
  /** Null when no loss is known. */
  y: Scale | null;
  xTitle: string;
  yTitle: string;
  /** The limit asked for, on the scale of y. */
  limit: number | undefined;
}

/** Grid, ticks and titles; the points say the same in words, so it is hidden from screen readers. */
export function ParetoAxes({ box, x, y, xTitle, yTitle, limit }: Props) {
  const { left, right, top, bottom, floor, height } = box;
  return (
    <svg className="axes" width={box.width} height={height} aria-hidden="true">
      {floor > bottom && (
        <>
          <rect className="strip" x={left} width={right - left} y={bottom} height={floor - bottom} />
          <text x={left - 8} y={(bottom + floor) / 2 + 4} textAnchor="end">
            unknown
          </text>
        </>
      )}
      {y?.ticks.map((tick) => (
        <g key={tick} className={tick === 0 ? "grid zero" : "grid"}>
          <line x1={left} x2={right} y1={y.toPixel(tick)} y2={y.toPixel(tick)} />
          <text x={left - 8} y={y.toPixel(tick) + 4} textAnchor="end">
            {significant(tick)}
          </text>
        </g>
      ))}
      {x.ticks.map((tick) => (
        <text key={tick} x={x.toPixel(tick)} y={floor + 18} textAnchor="middle">
          {significant(tick)}
        </text>
      ))}
      <text className="title" x={(left + right) / 2} y={height - 8} textAnchor="middle">
        {xTitle}
      </text>
      {y && (
        <text
          className="title"
          transform={`translate(14 ${(top + bottom) / 2}) rotate(-90)`}
          textAnchor="middle"
        >
          {yTitle}
        </text>
      )}
      {y && limit !== undefined && (
        <line className="limit" x1={left} x2={right} y1={y.toPixel(limit)} y2={y.toPixel(limit)} />
      )}
    </svg>
  );
}

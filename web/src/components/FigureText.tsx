import type { Figure } from "../api/types";
import { formatInterval, formatValue, significant } from "../format";

interface Props {
  figure: Figure | null | undefined;
  /** Say it when the interval is not known. */
  full?: boolean;
  /** Stands before an amount of money. */
  currency?: string | undefined;
}

/** A figure with its interval and basis; the note and the ids of its evidence are in the tooltip. */
export function FigureText({ figure, full = false, currency }: Props) {
  if (!figure) return <span className="muted">unknown</span>;
  // An amount of money has its currency and what it is for beside the value, and not again in the interval.
  const interval = formatInterval(currency ? { ...figure, unit: "score" } : figure);
  const confidence =
    interval && figure.interval && `${100 * figure.interval.confidence} % interval ${interval}`;
  const evidence = figure.evidence?.length ? `evidence: ${figure.evidence.join(", ")}` : null;
  const title = [confidence, figure.note, evidence].filter(Boolean).join("\n");
  return (
    <span className="figure" title={title || undefined}>
      <span className="value">
        {currency ? `${currency} ${significant(figure.value)}` : formatValue(figure.value, figure.unit)}
      </span>{" "}
      {currency && figure.unit} {interval && <span className="interval">{interval}</span>}
      {!figure.interval && full && <span className="interval">interval unknown</span>}{" "}
      <span className={`basis basis-${figure.basis}`}>{figure.basis}</span>
    </span>
  );
}

import type { Figure } from "../api/types";
import { formatFigure } from "../format";

/** A figure with its interval and basis; the evidence ids are in the tooltip. */
export function FigureText({ figure }: { figure: Figure | null | undefined }) {
  if (!figure) return <span className="muted">unknown</span>;
  const evidence = figure.evidence?.length ? `evidence: ${figure.evidence.join(", ")}` : undefined;
  const title = [figure.note, evidence].filter(Boolean).join("\n");
  return (
    <span className="figure" title={title || undefined}>
      {formatFigure(figure)} <span className={`basis basis-${figure.basis}`}>{figure.basis}</span>
    </span>
  );
}

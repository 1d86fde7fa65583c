import type { Elimination } from "../api/types";
import { type Column, DataTable } from "./DataTable";
import { Prose } from "./Prose";
import { VariantLink } from "./VariantLink";

const OTHER_MODELS = "model";
const WORDS: Record<string, string> = {
  objective: "satisfy everything, but another is better",
  memory: "do not fit in memory",
  context: "do not hold the context",
  loss: "lose too much, or nobody knows how much",
  disk: "are too large on disk",
  state: "may not be recommended: yanked, quarantined or deleted",
  support: "do not run on this hardware",
  rate: "cannot serve so many requests",
  ttft: "take too long to the first token, or nobody knows how long",
  tpot: "take too long for a token, or nobody knows how long",
  itl: "take too long between tokens, or nobody knows how long",
  e2e: "take too long for a whole answer, or nobody knows how long",
  throughput: "are too slow, or nobody knows how fast",
  "cost-per-hour": "cost too much an hour, or nobody knows how much",
  cost: "cost too much for a token, or nobody knows how much",
};

const COLUMNS: Column<Elimination>[] = [
  { heading: "Variant", cell: (row) => <VariantLink id={row.variant_id}>{row.name}</VariantLink> },
  { heading: "Reason", cell: (row) => <Prose text={row.reason} /> },
];

export interface Group {
  key: string;
  count: number;
  rows: Elimination[];
}

/** Eliminations by the constraint they fell at, most first; those of models nobody asked for come last. */
export function groupEliminations(rows: Elimination[], counts: Record<string, number>): Group[] {
  return Object.entries(counts)
    .map(([key, count]) => ({ key, count, rows: rows.filter((row) => row.key === key) }))
    .sort(
      (a, b) =>
        Number(a.key === OTHER_MODELS) - Number(b.key === OTHER_MODELS) ||
        b.count - a.count ||
        a.key.localeCompare(b.key),
    );
}

/** Why everything else is not the answer, folded by reason. */
export function Eliminated({ rows, counts }: { rows: Elimination[]; counts: Record<string, number> }) {
  const groups = groupEliminations(rows, counts);
  if (groups.length === 0) return null;
  const total = groups.reduce((sum, group) => sum + group.count, 0);
  return (
    <section className="eliminated">
      <h3>Not chosen: {total.toLocaleString("en")}</h3>
      {groups.map((group) =>
        group.rows.length === 0 ? (
          <p key={group.key} className="plain">
            <Reason group={group} />
          </p>
        ) : (
          <details key={group.key}>
            <summary>
              <Reason group={group} />
            </summary>
            <DataTable
              caption={`Not chosen: ${group.key}`}
              columns={COLUMNS}
              rows={group.rows}
              rowKey={(row) => row.variant_id}
            />
            {group.count > group.rows.length && (
              <p className="muted">
                The nearest {group.rows.length} of {group.count.toLocaleString("en")} are listed.
              </p>
            )}
          </details>
        ),
      )}
    </section>
  );
}

function Reason({ group: { key, count } }: { group: Group }) {
  if (key === OTHER_MODELS)
    return (
      <>
        <strong>{count.toLocaleString("en")}</strong> of other models
      </>
    );
  return (
    <>
      <strong>{count.toLocaleString("en")}</strong> {WORDS[key] ?? `fall at ${key}`}
    </>
  );
}

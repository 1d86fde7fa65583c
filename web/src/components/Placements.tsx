import type { Placement } from "../api/types";
import { formatRatio } from "../format";
import { type Column, DataTable } from "./DataTable";
import { FigureText } from "./FigureText";

function words({ tensor_parallel = 1, pipeline_parallel = 1, replicas = 1 }: Placement): string {
  const parts = [
    tensor_parallel > 1 && `tensor parallel ${tensor_parallel}`,
    pipeline_parallel > 1 && `pipeline parallel ${pipeline_parallel}`,
    `${replicas} ${replicas === 1 ? "replica" : "replicas"}`,
  ];
  return parts.filter(Boolean).join(", ");
}

const count = (value: number | null | undefined) =>
  value == null ? <span className="muted">not checked</span> : value.toLocaleString("en");

const COLUMNS: Column<Placement>[] = [
  {
    heading: "Split",
    cell: (row) => (
      <>
        {words(row)} {row.chosen && <span className="badge">chosen</span>}
      </>
    ),
  },
  { heading: "Peak of the fullest", cell: (row) => <FigureText figure={row.peak} /> },
  {
    heading: "Fits",
    cell: ({ fit_probability }) =>
      fit_probability == null ? (
        <span className="muted">not checked</span>
      ) : fit_probability > 0.999 ? (
        "above 99.9 %"
      ) : (
        formatRatio(fit_probability)
      ),
  },
  { heading: "Context", cell: (row) => count(row.max_context) },
  { heading: "Sequences", cell: (row) => count(row.max_concurrency) },
];

/** Every way to put the chosen variant on several devices; nothing where there is only one. */
export function Placements({ rows }: { rows: Placement[] }) {
  if (rows.length < 2) return null;
  return (
    <details className="placements">
      <summary>{rows.length} ways to place it on the hardware</summary>
      <DataTable caption="Placements" columns={COLUMNS} rows={rows} rowKey={words} />
    </details>
  );
}

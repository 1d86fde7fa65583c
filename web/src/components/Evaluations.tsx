import { api, unwrap } from "../api/client";
import type { Evaluation } from "../api/types";
import { significant } from "../format";
import { type Column, DataTable } from "./DataTable";
import { Evidence } from "./Evidence";
import { FigureText } from "./FigureText";
import { Source } from "./Source";

const COLUMNS: Column<Evaluation>[] = [
  { heading: "Task", cell: (row) => row.task },
  { heading: "Metric", cell: (row) => row.metric },
  {
    heading: "Baseline → variant",
    cell: (row) => `${significant(row.baseline_score, 4)} → ${significant(row.variant_score, 4)}`,
  },
  { heading: "Relative loss", cell: (row) => <FigureText figure={row.relative_loss} full /> },
  {
    heading: "Items",
    cell: (row) => row.items?.toLocaleString("en") ?? <span className="muted">unknown</span>,
  },
  {
    heading: "Source",
    cell: (row) => <Source citation={row.citation} protocol={row.protocol} doubt={row.doubt} />,
  },
];

/** What a variant loses against its own baseline, task by task. */
export function Evaluations({ variant }: { variant: string }) {
  return (
    <Evidence
      heading="Loss"
      empty="No evidence of its loss."
      queryKey={["evaluations", variant]}
      load={async (cursor, signal) =>
        unwrap(await api.GET("/api/v1/evaluations", { params: { query: { variant, cursor } }, signal }))
      }
    >
      {(rows: Evaluation[]) => (
        <DataTable caption="Evaluations" columns={COLUMNS} rows={rows} rowKey={(row) => row.id} />
      )}
    </Evidence>
  );
}

import { api, unwrap } from "../api/client";
import type { DownloadRow } from "../api/types";
import { formatTime } from "../format";
import { type Column, DataTable } from "./DataTable";
import { Evidence } from "./Evidence";

const COLUMNS: Column<DownloadRow>[] = [
  {
    heading: "Asked for",
    cell: (row) => (
      <>
        {row.repository} <span className="muted">{row.revision}</span>
      </>
    ),
  },
  { heading: "By", cell: (row) => row.principal ?? <span className="muted">{row.client}</span> },
  { heading: "With", cell: (row) => row.user_agent },
  { heading: "Last", cell: (row) => formatTime(row.last_at) },
];

/** Who still pulls a variant by Hugging Face clients. */
export function Downloads({ variant }: { variant: string }) {
  return (
    <Evidence
      heading="Downloads"
      empty="No Hugging Face client has pulled it from here."
      queryKey={["downloads", variant]}
      load={async (cursor, signal) =>
        unwrap(
          await api.GET("/api/v1/downloads", { params: { query: { variant, cursor, limit: 10 } }, signal }),
        )
      }
    >
      {(rows: DownloadRow[]) => (
        <DataTable caption="Downloads" columns={COLUMNS} rows={rows} rowKey={(row) => row.id} />
      )}
    </Evidence>
  );
}

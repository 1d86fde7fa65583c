import { useQuery } from "@tanstack/react-query";
import { api, unwrap } from "../api/client";
import type { VariantState } from "../api/types";
import { formatTime } from "../format";
import { type Column, DataTable } from "./DataTable";
import { Prose } from "./Prose";
import { MEANING } from "./StateBadge";
import { VariantName } from "./VariantName";

const COLUMNS: Column<VariantState>[] = [
  { heading: "State", cell: (row) => <span className="tight">{row.state ?? "active"}</span> },
  { heading: "Reason", cell: (row) => row.reason && <Prose text={row.reason} /> },
  {
    heading: "Instead",
    cell: (row) => row.replacement_id && <VariantName id={row.replacement_id} />,
  },
  { heading: "By", cell: (row) => row.actor },
  { heading: "When", cell: (row) => row.changed_at && formatTime(row.changed_at) },
];

export function useVariantState(variant: string) {
  return useQuery({
    queryKey: ["state", variant],
    queryFn: async ({ signal }) =>
      unwrap(await api.GET("/api/v1/states/{name}", { params: { path: { name: variant } }, signal })),
  });
}

const capital = (words: string) => words.charAt(0).toUpperCase() + words.slice(1);

/** The state a variant was put in, why, what to use instead, and every state before. Nothing while nobody has. */
export function Lifecycle({ variant }: { variant: string }) {
  const { data } = useVariantState(variant);
  if (!data || data.history.length === 0) return null;
  const { state = "active", reason, replacement_id, actor, changed_at } = data.current;
  return (
    <section className={`lifecycle lifecycle-${state}`} aria-label="State">
      <p>
        <strong>{state === "active" ? "Reinstated" : capital(state)}</strong>
        {reason && (
          <>
            : <Prose text={reason} />
          </>
        )}
      </p>
      {replacement_id && (
        <p>
          Use <VariantName id={replacement_id} /> instead.
        </p>
      )}
      <p className="muted">
        {capital(MEANING[state])}.{changed_at && ` Set ${formatTime(changed_at)}`}
        {actor && ` by ${actor}`}
        {changed_at && "."}
      </p>
      {data.history.length > 1 && (
        <details>
          <summary>{data.history.length} changes of state</summary>
          <DataTable
            caption="Changes of state"
            columns={COLUMNS}
            rows={data.history}
            rowKey={(row) => String(row.number)}
          />
        </details>
      )}
    </section>
  );
}

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "../api/client";
import type { Plan, Relaxation } from "../api/types";
import { formatChange } from "../format";
import { type Column, DataTable } from "./DataTable";
import { ProblemMessage } from "./ProblemMessage";
import { VariantLink } from "./VariantLink";

/** The smallest changes that make a question feasible; each can be planned at once. */
export function Relaxations({ rows, onPlan }: { rows: Relaxation[]; onPlan: (plan: Plan) => void }) {
  const queries = useQueryClient();
  const planning = useMutation({
    mutationFn: async (relaxation: Relaxation) =>
      unwrap(await api.POST("/api/v1/recommend", { body: relaxation.scenario })),
    onSuccess: (plan) => {
      queries.setQueryData(["plan", plan.id], plan);
      onPlan(plan);
    },
  });
  if (rows.length === 0) return <p>No change of a single constraint makes it feasible.</p>;
  const columns: Column<Relaxation>[] = [
    { heading: "Instead of", cell: (row) => row.before },
    { heading: "Ask for", cell: (row) => <strong>{row.after}</strong> },
    { heading: "Change", cell: (row) => (row.change == null ? "dropped" : formatChange(row.change)) },
    { heading: "Gives", cell: (row) => <VariantLink id={row.variant_id}>{row.name}</VariantLink> },
    {
      heading: "Then",
      cell: (row) => (
        <button
          type="button"
          disabled={planning.isPending}
          aria-label={`Plan with ${row.after} instead of ${row.before}`}
          onClick={() => planning.mutate(row)}
        >
          Plan this
        </button>
      ),
    },
  ];
  return (
    <>
      <h3>Any one of these changes makes it feasible</h3>
      <DataTable caption="Relaxations" columns={columns} rows={rows} rowKey={(row) => row.key + row.after} />
      {planning.isError && <ProblemMessage error={planning.error} />}
    </>
  );
}

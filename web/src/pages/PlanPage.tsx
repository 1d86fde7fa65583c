import { useQuery } from "@tanstack/react-query";
import { api, unwrap } from "../api/client";
import { Answer } from "../components/Answer";
import { ProblemMessage } from "../components/ProblemMessage";

/** A stored plan by its id: what was answered then, unchanged. */
export function PlanPage({ id }: { id: string }) {
  const plan = useQuery({
    queryKey: ["plan", id],
    queryFn: async ({ signal }) =>
      unwrap(await api.GET("/api/v1/plans/{plan_id}", { params: { path: { plan_id: id } }, signal })),
  });
  if (plan.isPending) return <output className="muted">Loading…</output>;
  if (plan.isError) return <ProblemMessage error={plan.error} />;
  return (
    <>
      <h1>{plan.data.query ?? "Plan"}</h1>
      <Answer plan={plan.data} />
    </>
  );
}

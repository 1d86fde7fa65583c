import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, unwrap } from "../api/client";
import { Answer } from "../components/Answer";
import { ProblemMessage } from "../components/ProblemMessage";
import { useTitle } from "../useTitle";

/** A stored plan by its id: what was answered then, unchanged. */
export function PlanPage({ id }: { id: string }) {
  const plan = useQuery({
    queryKey: ["plan", id],
    // A stored plan never changes.
    staleTime: Infinity,
    queryFn: async ({ signal }) =>
      unwrap(await api.GET("/api/v1/plans/{plan_id}", { params: { path: { plan_id: id } }, signal })),
  });
  const query = plan.data?.query;
  useTitle(query ? `Plan: ${query}` : "Plan");
  if (plan.isPending) return <output className="loading">Loading…</output>;
  if (plan.isError)
    return (
      <>
        <h1>Plan {id}</h1>
        <ProblemMessage error={plan.error} onRetry={() => void plan.refetch()} />
      </>
    );
  return (
    <>
      <h1>{query ?? "Plan of a scenario"}</h1>
      <p className="muted">
        A stored plan: this is what was answered then.{" "}
        {query && (
          <Link to="/" search={{ q: query }}>
            Ask again
          </Link>
        )}
      </p>
      <Answer plan={plan.data} />
    </>
  );
}

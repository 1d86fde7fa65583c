import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ApiError, api, unwrap } from "../api/client";
import type { Alias, AliasMove } from "../api/types";
import { AliasOn } from "../components/AliasOn";
import { type Column, DataTable } from "../components/DataTable";
import { Evidence } from "../components/Evidence";
import { ACTOR, MoveAlias, MoveProblem } from "../components/MoveAlias";
import { Needs } from "../components/Needs";
import { ProblemMessage } from "../components/ProblemMessage";
import { VariantAndState } from "../components/VariantAndState";
import { VariantName } from "../components/VariantName";
import { formatTime } from "../format";
import { useTitle } from "../useTitle";

/** A page of the moves of an alias, newest first; none for one that never was. */
async function movesOf(name: string, cursor: string | null, signal: AbortSignal) {
  const params = { path: { name }, query: { cursor } };
  const answer = await api.GET("/api/v1/aliases/{name}/moves", { params, signal });
  return answer.response.status === 404 ? { items: [] } : unwrap(answer);
}

const MOVES: Column<AliasMove>[] = [
  { heading: "Move", cell: (row) => row.number },
  { heading: "When", cell: (row) => formatTime(row.moved_at) },
  { heading: "By", cell: (row) => row.actor },
  {
    heading: "From",
    cell: (row) =>
      row.previous_variant_id ? (
        <VariantName id={row.previous_variant_id} />
      ) : (
        <span className="muted">was not there</span>
      ),
  },
  {
    heading: "To",
    cell: (row) =>
      row.variant_id ? <VariantName id={row.variant_id} /> : <span className="muted">deleted</span>,
  },
];

/** Lets an alias move only from where one believes it to be, or frees it. */
function Protection({ alias }: { alias: Alias }) {
  const client = useQueryClient();
  const protect = useMutation({
    mutationFn: async (wanted: boolean) =>
      unwrap(
        await api.PUT("/api/v1/aliases/{name}/protection", {
          params: { path: { name: alias.name } },
          body: { protected: wanted },
        }),
      ),
    onSettled: () => client.invalidateQueries({ queryKey: ["aliases"] }),
  });
  return (
    <section>
      <h2>Protection</h2>
      <p>
        {alias.protected
          ? "Protected: it moves only for those who say where it points now, as this page does, and cannot be deleted."
          : "Not protected: it may be moved wherever it points, and deleted."}
      </p>
      <Needs scope="admin" to={alias.protected ? "free it" : "protect it"}>
        <button type="button" disabled={protect.isPending} onClick={() => protect.mutate(!alias.protected)}>
          {alias.protected ? `Free ${alias.name}` : `Protect ${alias.name}`}
        </button>
      </Needs>
      {protect.isError && <ProblemMessage error={protect.error} />}
    </section>
  );
}

/** Undoes the last move, if the alias still is where the page shows it. */
function Rollback({ alias, last }: { alias: Alias; last: AliasMove | undefined }) {
  const client = useQueryClient();
  const back = useMutation({
    mutationFn: async () =>
      unwrap(
        await api.POST("/api/v1/aliases/{name}/rollback", {
          params: { path: { name: alias.name } },
          body: { expected: alias.variant_id, actor: ACTOR },
        }),
      ),
    onSettled: () => client.invalidateQueries({ queryKey: ["aliases"] }),
  });
  const previous = last?.previous_variant_id;
  return (
    <>
      {previous ? (
        <p>
          <button type="button" disabled={back.isPending} onClick={() => back.mutate()}>
            Roll back
          </button>{" "}
          to <VariantName id={previous} />, where it pointed before its last move.
        </p>
      ) : (
        <p className="muted">It has pointed there since it was made, so there is nothing to roll back to.</p>
      )}
      {back.isError && <MoveProblem error={back.error} name={alias.name} />}
    </>
  );
}

/** Everything about an alias that exists. */
function Present({ alias, last }: { alias: Alias; last: AliasMove | undefined }) {
  return (
    <>
      <p className="alias-now">
        points at <VariantAndState id={alias.variant_id} />{" "}
        {alias.protected && <span className="badge">protected</span>}
        <br />
        <span className="muted">
          since {formatTime(alias.moved_at)}, moved by {alias.actor}
        </span>
      </p>
      <section>
        <h2>Move</h2>
        <Needs scope="promote" to="move it or roll it back">
          <MoveAlias name={alias.name} expected={alias.variant_id} />
          <Rollback alias={alias} last={last} />
        </Needs>
      </section>
      <Protection alias={alias} />
    </>
  );
}

interface Props {
  name: string;
  /** A moment, "2026-11-01T00:00" in UTC. */
  at: string | undefined;
  onAt: (at: string) => void;
}

/** One alias: where it points, how to move it, and where it pointed at any time. */
export function AliasPage({ name, at, onAt }: Props) {
  useTitle(`Alias ${name}`);
  const alias = useQuery({
    queryKey: ["aliases", "one", name],
    queryFn: async ({ signal }) =>
      unwrap(await api.GET("/api/v1/aliases/{name}", { params: { path: { name } }, signal })),
  });
  const gone = alias.error instanceof ApiError && alias.error.problem.status === 404;
  return (
    <>
      <h1>
        <span className="muted">Alias</span> {name}
      </h1>
      {alias.isPending && <output className="loading">Loading…</output>}
      {alias.isError && !gone && <ProblemMessage error={alias.error} onRetry={() => void alias.refetch()} />}
      {gone && (
        <p>
          There is no alias <code>{name}</code> now. Where it pointed before it was deleted is below, if it
          ever was.{" "}
          <Link to="/aliases" search={{}}>
            All aliases
          </Link>
        </p>
      )}
      {alias.data && !alias.isError && <Present alias={alias.data.alias} last={alias.data.moves[0]} />}
      <AliasOn name={name} at={at} onAt={onAt} />
      <Evidence
        heading="Every move"
        empty="It was never made."
        queryKey={["aliases", "moves", name]}
        load={(cursor, signal) => movesOf(name, cursor, signal)}
      >
        {(rows: AliasMove[]) => (
          <DataTable caption="Moves" columns={MOVES} rows={rows} rowKey={(row) => String(row.number)} />
        )}
      </Evidence>
    </>
  );
}

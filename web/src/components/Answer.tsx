import { Link, useNavigate } from "@tanstack/react-router";
import type { Candidate, Effective, Infeasible, Plan, Recommended } from "../api/types";
import { chartPoints, lossLimit } from "../charts/frontier";
import { MemoryBar } from "../charts/MemoryBar";
import { ParetoChart } from "../charts/ParetoChart";
import { formatTime } from "../format";
import { CandidateTable } from "./CandidateTable";
import { Checks } from "./Checks";
import { Eliminated } from "./Eliminated";
import { FetchCommand } from "./FetchCommand";
import { KeyFigures } from "./KeyFigures";
import { Placements } from "./Placements";
import { Prose } from "./Prose";
import { Relaxations } from "./Relaxations";
import { Serving } from "./Serving";
import { Understood } from "./Understood";
import { VariantLink } from "./VariantLink";

function Warnings({ rows }: { rows: string[] }) {
  if (rows.length === 0) return null;
  return (
    <section className="warnings" aria-label="Warnings">
      <h3>Keep in mind</h3>
      <ul>
        {rows.map((row) => (
          <li key={row}>
            <Prose text={row} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Chosen({ chosen }: { chosen: Candidate }) {
  return (
    <>
      <h2 className="chosen">
        <VariantLink id={chosen.variant_id}>{chosen.name}</VariantLink>{" "}
        <span className="badge">{chosen.scheme}</span>
      </h2>
      {chosen.fetchable ? (
        <FetchCommand id={chosen.variant_id} name={chosen.name} />
      ) : (
        <p className="muted">A published build: its figures are known, its files are not in this registry.</p>
      )}
    </>
  );
}

function RecommendedAnswer({ plan, result }: { plan: Plan; result: Recommended }) {
  const limit = lossLimit(plan);
  return (
    <>
      <p className="outcome outcome-recommended">Recommended</p>
      <Chosen chosen={result.chosen} />
      <KeyFigures candidate={result.chosen} />
      <MemoryBar memory={result.chosen.memory} />
      <Serving serving={result.chosen.serving} />
      <h3>Why this one</h3>
      <ul className="reasons">
        {result.reasons.map((reason) => (
          <li key={reason}>
            <Prose text={reason} />
          </li>
        ))}
      </ul>
      <Warnings rows={result.warnings} />
      <h3>Constraints</h3>
      <Checks checks={result.chosen.checks ?? []} />
      <Placements rows={result.placements ?? []} />
      <h3>Memory against loss</h3>
      <ParetoChart
        points={chartPoints(result)}
        unit={limit?.kind === "absolute" ? "points" : "ratio"}
        limit={limit?.limit}
        devices={result.chosen.memory.devices ?? 1}
      />
      {result.alternatives.length > 0 && (
        <>
          <h3>Alternatives</h3>
          <CandidateTable candidates={result.alternatives} caption="Alternatives" />
        </>
      )}
    </>
  );
}

/** What was understood about the constraints of a conflict, in its words where it has any. */
function conflictWords(keys: string[], understood: Effective[]): string[] {
  return keys.map((key) => {
    const named = key === "memory" ? "hardware" : key;
    return understood.find((row) => row.key === named)?.sentence ?? key;
  });
}

function InfeasibleAnswer({ plan, result }: { plan: Plan; result: Infeasible }) {
  const navigate = useNavigate();
  const nearest = result.nearest[0];
  const reason = result.eliminations.find((row) => row.variant_id === nearest?.variant_id)?.reason;
  return (
    <>
      <p className="outcome outcome-infeasible">Infeasible</p>
      <h2>Nothing satisfies every constraint</h2>
      {result.conflict.length > 0 && (
        <p>
          {result.conflict.length > 1 ? "These cannot hold together: " : "Nothing satisfies "}
          {conflictWords(result.conflict, plan.understood).map((words, i) => (
            <span key={words}>
              {i > 0 && " and "}
              <strong>{words}</strong>
            </span>
          ))}
          .
        </p>
      )}
      <Relaxations
        rows={result.relaxations}
        onPlan={({ id }) => void navigate({ to: "/plans/$id", params: { id } })}
      />
      <Warnings rows={result.warnings} />
      {nearest && (
        <>
          <h3>Nearest misses</h3>
          <p className="plain">
            The nearest is <VariantLink id={nearest.variant_id}>{nearest.name}</VariantLink>
            {reason && (
              <>
                : <Prose text={reason} />
              </>
            )}
            .
          </p>
          {nearest.memory.capacity && <MemoryBar memory={nearest.memory} />}
          <CandidateTable candidates={result.nearest} caption="Nearest misses" misses />
        </>
      )}
    </>
  );
}

/** A plan: what was understood, the outcome, and everything it stands on. */
export function Answer({ plan }: { plan: Plan }) {
  const { result } = plan;
  return (
    <article className="answer">
      <Understood rows={plan.understood} />
      {result.outcome === "recommended" ? (
        <RecommendedAnswer plan={plan} result={result} />
      ) : (
        <InfeasibleAnswer plan={plan} result={result} />
      )}
      <Eliminated rows={result.eliminations} counts={result.eliminated} />
      <p className="muted">
        <Link to="/plans/$id" params={{ id: plan.id }}>
          Plan {plan.id}
        </Link>{" "}
        · catalogue revision {plan.revision} · planned {formatTime(plan.as_of)} by version{" "}
        {plan.planner_version}
      </p>
    </article>
  );
}

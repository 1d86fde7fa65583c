import { Link } from "@tanstack/react-router";
import type { Candidate, Check, Elimination, Infeasible, Plan, Recommended, Relaxation } from "../api/types";
import { MemoryBar } from "../charts/MemoryBar";
import { ParetoChart } from "../charts/ParetoChart";
import { formatRatio } from "../format";
import { CandidateTable } from "./CandidateTable";
import { FigureText } from "./FigureText";
import { Understood } from "./Understood";

const LISTED = 50;

function Checks({ checks }: { checks: Check[] }) {
  return (
    <div className="scroll">
      <table>
        <caption className="visually-hidden">
          Each constraint, the figure it was held against, and the verdict
        </caption>
        <thead>
          <tr>
            <th scope="col">Constraint</th>
            <th scope="col">Figure</th>
            <th scope="col">Verdict</th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {checks.map((check) => (
            <tr key={`${check.key}:${check.asked}`}>
              <td>{check.asked}</td>
              <td>{check.figure ? <FigureText figure={check.figure} /> : ""}</td>
              <td>
                <span className={`verdict verdict-${check.verdict}`}>{check.verdict}</span>
              </td>
              <td>{check.detail}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Eliminated({ rows, counts }: { rows: Elimination[]; counts: Record<string, number> }) {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const summary = Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([key, count]) => `${count} at ${key}`)
    .join(", ");
  const listed = rows.slice(0, LISTED);
  return (
    <details>
      <summary>
        Not chosen: {total} <span className="muted">({summary})</span>
      </summary>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Variant</th>
              <th scope="col">Fell at</th>
              <th scope="col">Reason</th>
            </tr>
          </thead>
          <tbody>
            {listed.map((row) => (
              <tr key={row.variant_id}>
                <td title={row.variant_id}>{row.name}</td>
                <td>{row.key}</td>
                <td>{row.reason}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {total > listed.length && <p className="muted">… and {total - listed.length} more.</p>}
    </details>
  );
}

function Chosen({ chosen }: { chosen: Candidate }) {
  return (
    <>
      <h1>
        {chosen.name} <span className="badge">{chosen.scheme}</span>
      </h1>
      {chosen.fetchable ? (
        <p>
          <code>planner fetch {chosen.variant_id}</code>
        </p>
      ) : (
        <p className="muted">A published build: its figures are known, its files are not in this registry.</p>
      )}
    </>
  );
}

function RecommendedAnswer({ result }: { result: Recommended }) {
  return (
    <>
      <p className="outcome outcome-recommended">Recommended</p>
      <Chosen chosen={result.chosen} />
      <ul className="reasons">
        {result.reasons.map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
      <MemoryBar memory={result.chosen.memory} />
      <h2>Constraints</h2>
      <Checks checks={result.chosen.checks ?? []} />
      <h2>Frontier</h2>
      <ParetoChart points={result.frontier} />
      {result.alternatives.length > 0 && (
        <>
          <h2>Alternatives</h2>
          <CandidateTable candidates={result.alternatives} caption="Alternatives" />
        </>
      )}
    </>
  );
}

function Relaxations({ rows }: { rows: Relaxation[] }) {
  if (rows.length === 0) return <p>No change of a single constraint makes it feasible.</p>;
  return (
    <>
      <h2>Any one of these changes makes it feasible</h2>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Instead of</th>
              <th scope="col">Ask for</th>
              <th scope="col">Change</th>
              <th scope="col">Gives</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.key}>
                <td>{row.before}</td>
                <td>{row.after}</td>
                <td>{row.change == null ? "dropped" : formatRatio(row.change)}</td>
                <td>{row.name}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function InfeasibleAnswer({ result }: { result: Infeasible }) {
  return (
    <>
      <p className="outcome outcome-infeasible">Infeasible</p>
      <h1>Nothing satisfies every constraint</h1>
      {result.conflict.length > 0 && <p>These cannot hold together: {result.conflict.join(", ")}.</p>}
      <Relaxations rows={result.relaxations} />
      {result.nearest.length > 0 && (
        <>
          <h2>Nearest misses</h2>
          <CandidateTable candidates={result.nearest} caption="Nearest misses" />
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
        <RecommendedAnswer result={result} />
      ) : (
        <InfeasibleAnswer result={result} />
      )}
      <Eliminated rows={result.eliminations} counts={result.eliminated} />
      {result.warnings.map((warning) => (
        <p key={warning} className="warning">
          {warning}
        </p>
      ))}
      <p className="muted">
        <Link to="/plans/$id" params={{ id: plan.id }}>
          Plan {plan.id}
        </Link>{" "}
        · catalogue revision {plan.revision}
      </p>
    </article>
  );
}

import { api, unwrap } from "../api/client";
import type { GateCheck, GateReport } from "../api/types";
import { formatTime } from "../format";
import { type Column, DataTable } from "./DataTable";
import { Evidence } from "./Evidence";
import { FigureText } from "./FigureText";
import { Prose } from "./Prose";

const CHECKS: Column<GateCheck>[] = [
  {
    heading: "Check",
    cell: (row) => (
      <>
        {row.kind} {row.name}
        <div className="muted">{row.rule}</div>
      </>
    ),
  },
  {
    heading: "Verdict",
    cell: (row) => <span className={`verdict verdict-${row.state}`}>{row.state}</span>,
  },
  { heading: "Found", cell: (row) => row.figure && <FigureText figure={row.figure} /> },
  {
    heading: "Why",
    cell: (row) => (
      <>
        <Prose text={row.reason} />
        {(row.notes ?? []).map((note) => (
          <div key={note} className="muted">
            <Prose text={note} />
          </div>
        ))}
      </>
    ),
  },
];

/** What is behind a verdict: every check, what was done about it, and the work that would decide what is open. */
function Details({ report }: { report: GateReport }) {
  const { checks, effects = [], jobs = [], raised = [] } = report;
  return (
    <details>
      <summary>
        {checks.length} {checks.length === 1 ? "check" : "checks"}
      </summary>
      <DataTable
        caption="Checks"
        columns={CHECKS}
        rows={checks}
        rowKey={(row) => `${row.kind} ${row.name} ${row.field ?? row.rule}`}
      />
      {raised.length > 0 && (
        <p>
          Raised to the server's floor:{" "}
          {raised.map(({ field, asked, floor }) => `${field} from ${asked} to ${floor}`).join("; ")}.
        </p>
      )}
      {jobs.length > 0 && (
        <>
          <p>What would decide:</p>
          <ul>
            {jobs.map(({ check, job, state = "wanted", job_id, detail }) => (
              <li key={check + job.kind + (job_id ?? detail ?? "")}>
                {check}: {job.kind} <span className="muted">{[state, job_id].filter(Boolean).join(" ")}</span>
                {(detail ?? job.note) && (
                  <div className="muted">
                    <Prose text={detail ?? job.note ?? ""} />
                  </div>
                )}
              </li>
            ))}
          </ul>
        </>
      )}
      {effects.map(({ kind, done, detail }) => (
        <p key={kind} className={done ? undefined : "doubt"}>
          {done ? "" : "Not done: "}
          <Prose text={detail} />
        </p>
      ))}
    </details>
  );
}

/** What is still missing that the report's own sentence leaves out: "gsm8k: about 240 more would decide". */
export function missing({ checks, sentence }: GateReport): string[] {
  return checks
    .filter(({ state }) => ["missing", "stale", "inconclusive"].includes(state))
    .filter(({ reason }) => !sentence.includes(reason))
    .map(({ name, state, more }) =>
      more == null ? `${name}: ${state}` : `${name}: about ${more.toLocaleString("en")} more would decide`,
    );
}

const COLUMNS: Column<GateReport>[] = [
  {
    heading: "Verdict",
    cell: (row) => <span className={`verdict verdict-${row.verdict}`}>{row.verdict}</span>,
  },
  {
    heading: "Policy",
    cell: (row) => (
      <>
        {row.policy.name ?? <span className="muted">without a name</span>}
        <div className="muted">against {row.against}</div>
      </>
    ),
  },
  {
    heading: "When",
    cell: (row) => (
      <>
        {formatTime(row.judged_at)}
        {row.actor && <div className="muted">by {row.actor}</div>}
      </>
    ),
  },
  {
    heading: "What decides",
    cell: (row) => (
      <>
        <Prose text={row.sentence} />
        {missing(row).length > 0 && <div className="muted">Missing: {missing(row).join("; ")}</div>}
        <Details report={row} />
      </>
    ),
  },
];

/** Every gate that judged a variant, newest first. */
export function Gates({ variant }: { variant: string }) {
  return (
    <Evidence
      heading="Gates"
      empty="No gate has judged it. `planner gate` does, by a policy."
      queryKey={["gates", variant]}
      load={async (cursor, signal) =>
        unwrap(await api.GET("/api/v1/gates", { params: { query: { variant, cursor } }, signal }))
      }
    >
      {(rows: GateReport[]) => (
        <DataTable caption="Gates" columns={COLUMNS} rows={rows} rowKey={(row) => row.id} />
      )}
    </Evidence>
  );
}

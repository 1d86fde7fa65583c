import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "../api/client";
import type { Attempt, Job, JobKind, JobState } from "../api/types";
import { type Column, DataTable } from "../components/DataTable";
import { JobSubject } from "../components/JobSubject";
import { Needs } from "../components/Needs";
import { ProblemMessage } from "../components/ProblemMessage";
import { formatTime, significant } from "../format";
import { useAccess } from "../useAccess";
import { useTitle } from "../useTitle";
import { textOf } from "./VariantsPage";

const PAGE_SIZE = 50;
/** How often jobs that are not at their end are looked at again. */
const REFRESH_MILLISECONDS = 3000;

/** Every state in words; the type makes the compiler name one that is missing. */
const STATES: Record<JobState, string> = {
  queued: "queued",
  leased: "running",
  parked: "parked: waits for a person",
  succeeded: "succeeded",
  failed: "failed",
  cancelled: "cancelled",
};
const KINDS: JobKind[] = ["build", "measure", "evaluate"];

export interface JobSearch {
  state?: string;
  kind?: string;
  cursor?: string;
}

/** Reads the page's state from a URL; anything else is dropped. */
export function parseJobSearch(raw: Record<string, unknown>): JobSearch {
  const search: JobSearch = {};
  for (const key of ["state", "kind", "cursor"] as const) {
    const value = textOf(raw[key]);
    if (value) search[key] = value;
  }
  return search;
}

/** What is known of how the job stands: why it waits, how far it is, or how the last attempt ended. */
function standing({ state, unmatched, parked_because, attempts }: Job): string {
  const last: Attempt | undefined = attempts[attempts.length - 1];
  if (state === "parked") return parked_because ?? "parked without a reason";
  if (unmatched) return unmatched.message;
  if (last?.failure) return `${last.failure.reason}: ${last.failure.message}`;
  const share =
    state === "leased" && last?.progress != null ? `${significant(last.progress * 100, 2)} %` : "";
  return [share, last?.message].filter(Boolean).join(" ");
}

/** The attempts of a job that did not end well, each with the end of its log. */
function Evidence({ job }: { job: Job }) {
  const failed = job.attempts.filter((attempt) => attempt.failure);
  if (failed.length === 0) return null;
  return (
    <details>
      <summary>
        {failed.length} {failed.length === 1 ? "attempt" : "attempts"} that failed
      </summary>
      {failed.map((attempt) => (
        <section key={attempt.number} aria-label={`attempt ${attempt.number}`}>
          <p>
            {attempt.number}. on {attempt.worker}, {formatTime(attempt.started_at)}:{" "}
            <strong>{attempt.failure?.reason}</strong> {attempt.failure?.message}
          </p>
          {attempt.failure?.log_tail && <pre className="log">{attempt.failure.log_tail}</pre>}
        </section>
      ))}
    </details>
  );
}

const isOpen = ({ state }: Job) => state === "queued" || state === "leased" || state === "parked";

/** What may be done with a job: a parked one can be tried again, and one that is not at its end given up. */
function Actions({ job }: { job: Job }) {
  const client = useQueryClient();
  const act = useMutation({
    mutationFn: async (action: "release" | "cancel") => {
      const params = { path: { job_id: job.id } };
      return action === "release"
        ? unwrap(await api.POST("/api/v1/jobs/{job_id}/release", { params }))
        : unwrap(await api.POST("/api/v1/jobs/{job_id}/cancel", { params }));
    },
    // Also after a refusal: somebody else may have been quicker, and the table should show what is.
    onSettled: () => client.invalidateQueries({ queryKey: ["jobs"] }),
  });
  // What is missing is said once, above the table.
  if (!useAccess().may("measure")) return null;
  return (
    <>
      {job.state === "parked" && (
        <button
          type="button"
          aria-label={`Try again ${job.id}`}
          disabled={act.isPending}
          onClick={() => act.mutate("release")}
        >
          Try again
        </button>
      )}
      {isOpen(job) && (
        <button
          type="button"
          className="link"
          aria-label={`Cancel ${job.id}`}
          disabled={act.isPending}
          onClick={() => act.mutate("cancel")}
        >
          Cancel
        </button>
      )}
      {act.isError && <ProblemMessage error={act.error} />}
    </>
  );
}

const COLUMNS: Column<Job>[] = [
  {
    heading: "Job",
    cell: (job) => (
      <>
        {job.kind}
        <div className="muted">{job.id}</div>
        {job.created_at && <div className="muted">{formatTime(job.created_at)}</div>}
      </>
    ),
  },
  { heading: "About", cell: (job) => <JobSubject job={job} /> },
  {
    heading: "State",
    cell: ({ state = "queued" }) => <span className={`job-${state}`}>{STATES[state] ?? state}</span>,
  },
  {
    heading: "Attempts",
    cell: (job) => `${job.attempts.length - job.forgiven} of ${job.max_attempts}`,
  },
  { heading: "Worker", cell: (job) => job.attempts[job.attempts.length - 1]?.worker ?? "" },
  {
    heading: "How it stands",
    cell: (job) => (
      <>
        {standing(job)}
        <Evidence job={job} />
      </>
    ),
  },
  { heading: "Actions", cell: (job) => <Actions job={job} /> },
];

interface Props {
  search: JobSearch;
  onChange: (next: JobSearch) => void;
}

function Filters({ search, onChange }: Props) {
  const apply = (changes: JobSearch) => onChange(parseJobSearch({ ...search, ...changes, cursor: "" }));
  return (
    <form className="filters" onSubmit={(event) => event.preventDefault()}>
      <label>
        State
        <select value={search.state ?? ""} onChange={(e) => apply({ state: e.target.value })}>
          <option value="">any</option>
          {Object.entries(STATES).map(([state, words]) => (
            <option key={state} value={state}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <label>
        Kind
        <select value={search.kind ?? ""} onChange={(e) => apply({ kind: e.target.value })}>
          <option value="">any</option>
          {KINDS.map((kind) => (
            <option key={kind} value={kind}>
              {kind}
            </option>
          ))}
        </select>
      </label>
    </form>
  );
}

/** What workers are asked to do and how it goes; parked jobs with their evidence and the way on. */
export function JobsPage({ search, onChange }: Props) {
  useTitle("Jobs");
  const page = useQuery({
    queryKey: ["jobs", search],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      // The URL may say anything; what the server does not know it refuses in words that are shown.
      const { state, kind, cursor } = search;
      const query = {
        ...(state ? { state: state as JobState } : {}),
        ...(kind ? { kind: kind as JobKind } : {}),
        ...(cursor ? { cursor } : {}),
        limit: PAGE_SIZE,
      };
      return unwrap(await api.GET("/api/v1/jobs", { params: { query }, signal }));
    },
    refetchInterval: ({ state }) =>
      state.data?.items.some((job) => job.state === "queued" || job.state === "leased")
        ? REFRESH_MILLISECONDS
        : false,
  });
  const { cursor, ...first } = search;
  const next = page.data?.next_cursor;
  return (
    <>
      <h1>Jobs</h1>
      <Filters search={search} onChange={onChange} />
      {page.data?.items.some(isOpen) && (
        <Needs scope="measure" to="try jobs again or cancel them">
          {null}
        </Needs>
      )}
      {page.isPending && <output className="loading">Loading…</output>}
      {page.isError && <ProblemMessage error={page.error} onRetry={() => void page.refetch()} />}
      {page.data && !page.isError && page.data.items.length === 0 && (
        <p className="empty">
          {search.state || search.kind
            ? "No job matches."
            : "No job was queued yet. Gates queue what would decide them, and people what they want built or measured."}{" "}
          {(search.state || search.kind) && (
            <button type="button" className="link" onClick={() => onChange({})}>
              Show all
            </button>
          )}
        </p>
      )}
      {page.data && !page.isError && page.data.items.length > 0 && (
        <DataTable
          caption="Jobs"
          columns={COLUMNS}
          rows={page.data.items}
          rowKey={(job) => job.id}
          busy={page.isFetching}
          roomy
        />
      )}
      {(cursor || next) && (
        <nav className="pages" aria-label="Pages">
          <button type="button" disabled={!cursor} onClick={() => onChange(first)}>
            First page
          </button>
          <button
            type="button"
            disabled={!next}
            onClick={() => onChange({ ...search, ...(next ? { cursor: next } : {}) })}
          >
            Next page
          </button>
        </nav>
      )}
    </>
  );
}

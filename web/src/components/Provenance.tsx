import { useQuery } from "@tanstack/react-query";
import { api, unwrap } from "../api/client";
import type { RegistrationRecord, RunOrigin, SignatureRecord } from "../api/types";
import { formatTime } from "../format";
import { type Column, DataTable } from "./DataTable";
import { Evidence } from "./Evidence";
import { ProblemMessage } from "./ProblemMessage";

/** Only addresses that a browser may safely be sent to become links. */
function Run({ origin }: { origin: RunOrigin }) {
  const { run_url, repository, workflow } = origin;
  const words = workflow ?? repository ?? origin.subject;
  if (!run_url || !/^https?:\/\//.test(run_url)) return words;
  return (
    <a href={run_url} rel="noreferrer noopener" target="_blank">
      {words}
    </a>
  );
}

/** The run of a pipeline as its issuer vouches for it. */
function Origin({ origin }: { origin: RunOrigin | null | undefined }) {
  if (!origin) return <span className="muted">not by a pipeline that proved which run it was</span>;
  const { repository, ref, sha, actor, issuer } = origin;
  return (
    <>
      <div>
        <Run origin={origin} />
      </div>
      <div>
        {repository} {ref && <span className="muted">{ref}</span>}{" "}
        {sha && (
          <code className="digest" title={sha}>
            {sha.slice(0, 12)}
          </code>
        )}
      </div>
      <div className="muted">
        {actor && `started by ${actor}; `}vouched for by {issuer}
      </div>
    </>
  );
}

const REGISTRATIONS: Column<RegistrationRecord>[] = [
  { heading: "When", cell: (row) => formatTime(row.registered_at) },
  {
    heading: "By",
    cell: (row) => (
      <>
        {row.actor}
        {!row.created && <div className="muted">the same bytes again</div>}
      </>
    ),
  },
  { heading: "Run of a pipeline", cell: (row) => <Origin origin={row.origin} /> },
];

const SIGNATURES: Column<SignatureRecord>[] = [
  {
    heading: "Public key",
    cell: (row) =>
      row.key ? (
        <>
          sha256 <code className="digest">{row.key}</code>
        </>
      ) : (
        <span className="muted">signed in another way than with a key</span>
      ),
  },
  { heading: "Handed in by", cell: (row) => row.actor },
  { heading: "When", cell: (row) => formatTime(row.signed_at) },
];

function Signatures({ variant }: { variant: string }) {
  const list = useQuery({
    queryKey: ["signatures", variant],
    queryFn: async ({ signal }) =>
      unwrap(await api.GET("/api/v1/signatures", { params: { query: { variant } }, signal })),
  });
  const rows = list.data?.signatures ?? [];
  return (
    <section>
      <h2>Signatures</h2>
      {list.isError && <ProblemMessage error={list.error} onRetry={() => void list.refetch()} />}
      {list.isSuccess && rows.length === 0 && (
        <p className="muted">
          Nobody has signed it. <code>planner sign</code> does, with a key that stays with you.
        </p>
      )}
      {rows.length > 0 && (
        <>
          <DataTable caption="Signatures" columns={SIGNATURES} rows={rows} rowKey={(row) => row.sha256} />
          <p className="muted">
            A signature proves something only against a key that you trust: it is checked when you fetch with{" "}
            <code>--verify-key KEY.pub</code>.
          </p>
        </>
      )}
    </section>
  );
}

/** Who handed in a variant's bytes, from which run of which pipeline, and who signed them. */
export function Provenance({ variant }: { variant: string }) {
  return (
    <>
      <Evidence
        heading="Registered"
        empty="Nobody is on record as having handed it in."
        queryKey={["registrations", variant]}
        load={async (cursor, signal) =>
          unwrap(await api.GET("/api/v1/registrations", { params: { query: { variant, cursor } }, signal }))
        }
      >
        {(rows: RegistrationRecord[]) => (
          <DataTable
            caption="Registrations"
            columns={REGISTRATIONS}
            rows={rows}
            rowKey={(row) => `${row.registered_at}:${row.token_id}`}
          />
        )}
      </Evidence>
      <Signatures variant={variant} />
    </>
  );
}

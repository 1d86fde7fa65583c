import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, unwrap } from "../api/client";
import type { Artifact, Variant } from "../api/types";
import { Aliases } from "../components/Aliases";
import { type Column, DataTable } from "../components/DataTable";
import { Downloads } from "../components/Downloads";
import { Evaluations } from "../components/Evaluations";
import { FetchCommand } from "../components/FetchCommand";
import { Gates } from "../components/Gates";
import { Lifecycle, useVariantState } from "../components/Lifecycle";
import { ProblemMessage } from "../components/ProblemMessage";
import { Profiles } from "../components/Profiles";
import { Provenance } from "../components/Provenance";
import { StateBadge } from "../components/StateBadge";
import { VariantFacts } from "../components/VariantFacts";
import { formatBytes } from "../format";
import { useTitle } from "../useTitle";

const FILES: Column<Artifact>[] = [
  { heading: "File", cell: (file) => <span className="path">{file.path}</span> },
  { heading: "Size", cell: (file) => <span title={`${file.size} bytes`}>{formatBytes(file.size)}</span> },
  { heading: "sha256", cell: (file) => <code className="digest">{file.sha256}</code> },
];

/** One variant: its facts, its files, and all evidence about it. */
export function VariantPage({ name }: { name: string }) {
  const variant = useQuery({
    queryKey: ["variant", name],
    queryFn: async ({ signal }) =>
      unwrap(await api.GET("/api/v1/variants/{name}", { params: { path: { name } }, signal })),
  });
  useTitle(variant.data?.name ?? name);
  if (variant.isPending) return <output className="loading">Loading…</output>;
  if (variant.isError)
    return (
      <>
        <h1>{name}</h1>
        <ProblemMessage error={variant.error} onRetry={() => void variant.refetch()} />
        <p>
          <Link to="/variants" search={{}}>
            All variants
          </Link>
        </p>
      </>
    );
  return <Known variant={variant.data} />;
}

/** Everything about a variant that is there. */
function Known({ variant }: { variant: Variant }) {
  const { id, artifacts } = variant;
  const state = useVariantState(id).data?.current.state;
  const held = Boolean(artifacts?.length);
  const withheld = state === "quarantined" || state === "deleted";
  return (
    <>
      <h1>
        {variant.name} <StateBadge state={state} />
      </h1>
      <Aliases variant={id} />
      <Lifecycle variant={id} />
      {held && !withheld && <FetchCommand id={id} name={variant.name} />}
      {!held && (
        <p className="muted">A published build: its figures are known, its files are not in this registry.</p>
      )}
      <VariantFacts variant={variant} />
      <Evaluations variant={id} />
      <Profiles variant={id} />
      <Gates variant={id} />
      {held && (
        <>
          <Provenance variant={id} />
          <Downloads variant={id} />
        </>
      )}
      {artifacts?.length ? (
        <section>
          <h2>Files</h2>
          <DataTable caption="Files" columns={FILES} rows={artifacts} rowKey={(file) => file.path} />
        </section>
      ) : null}
    </>
  );
}

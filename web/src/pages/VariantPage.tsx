import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { api, unwrap } from "../api/client";
import type { Artifact, Precision, Scheme, Variant } from "../api/types";
import { type Column, DataTable } from "../components/DataTable";
import { Evaluations } from "../components/Evaluations";
import { FetchCommand } from "../components/FetchCommand";
import { FigureText } from "../components/FigureText";
import { ProblemMessage } from "../components/ProblemMessage";
import { Profiles } from "../components/Profiles";
import { Source } from "../components/Source";
import { VariantLink } from "../components/VariantLink";
import { formatBytes, formatTime, significant } from "../format";
import { useTitle } from "../useTitle";

const FILES: Column<Artifact>[] = [
  { heading: "File", cell: (file) => <span className="path">{file.path}</span> },
  { heading: "Size", cell: (file) => <span title={`${file.size} bytes`}>{formatBytes(file.size)}</span> },
  { heading: "sha256", cell: (file) => <code className="digest">{file.sha256}</code> },
];

function precisionWords({ format, group_size }: Precision): string {
  return group_size ? `${format} in groups of ${group_size}` : format;
}

/** The parts of a scheme in words: "int4 in groups of 128 weights, fp8 activations (dynamic)". */
export function schemeWords(scheme: Scheme): string {
  const { weight, activation, activation_scaling, kv, mixed, label } = scheme;
  const parts = [
    `${label ? `${label}: ` : ""}${precisionWords(weight)} weights`,
    activation &&
      `${precisionWords(activation)} activations${activation_scaling ? ` (${activation_scaling})` : ""}`,
    kv && `${precisionWords(kv)} KV cache`,
    mixed && "some layers in another format",
  ];
  return parts.filter(Boolean).join(", ");
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  if (children == null || children === "") return null;
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function Facts({ variant }: { variant: Variant }) {
  const { provenance, artifacts } = variant;
  const versions = Object.entries(provenance?.versions ?? {});
  return (
    <dl className="facts">
      <Fact name="Model">
        <Link to="/variants" search={{ model: variant.model_id }}>
          {variant.model_id}
        </Link>
      </Fact>
      <Fact name="Scheme">{schemeWords(variant.scheme)}</Fact>
      <Fact name="Method">{variant.scheme.method}</Fact>
      <Fact name="Weights">
        <FigureText figure={variant.weight_bytes} />
      </Fact>
      <Fact name="Bits a weight">
        {variant.effective_bits == null ? null : significant(variant.effective_bits)}
      </Fact>
      <Fact name="Parameters">{variant.parameters?.toLocaleString("en")}</Fact>
      <Fact name="Format">{variant.file_format === "unknown" ? "not stated" : variant.file_format}</Fact>
      <Fact name="Runtimes">{variant.runtimes?.join(", ")}</Fact>
      <Fact name="Recipe">{provenance?.recipe}</Fact>
      <Fact name="Built from">
        {provenance?.base_variant_id && (
          <VariantLink id={provenance.base_variant_id}>{provenance.base_variant_id}</VariantLink>
        )}
      </Fact>
      <Fact name="Built with">{versions.map(([name, version]) => `${name} ${version}`).join(", ")}</Fact>
      <Fact name="Source">{provenance?.citation && <Source citation={provenance.citation} />}</Fact>
      <Fact name="Registered">{variant.created_at && formatTime(variant.created_at)}</Fact>
      <Fact name="Size on disk">
        {artifacts?.length ? formatBytes(artifacts.reduce((sum, file) => sum + file.size, 0)) : null}
      </Fact>
      <Fact name="Id">
        <code className="digest">{variant.id}</code>
      </Fact>
    </dl>
  );
}

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
  const { id, artifacts } = variant.data;
  return (
    <>
      <h1>{variant.data.name}</h1>
      {artifacts?.length ? (
        <FetchCommand id={id} name={variant.data.name} />
      ) : (
        <p className="muted">A published build: its figures are known, its files are not in this registry.</p>
      )}
      <Facts variant={variant.data} />
      <Evaluations variant={id} />
      <Profiles variant={id} />
      {artifacts?.length ? (
        <section>
          <h2>Files</h2>
          <DataTable caption="Files" columns={FILES} rows={artifacts} rowKey={(file) => file.path} />
        </section>
      ) : null}
    </>
  );
}

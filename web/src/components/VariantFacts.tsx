import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Precision, Scheme, Variant } from "../api/types";
import { formatBytes, formatSeconds, formatTime, significant } from "../format";
import { FigureText } from "./FigureText";
import { Source } from "./Source";
import { VariantName } from "./VariantName";

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
    scheme.attention && `attention ${scheme.attention}`,
  ];
  return parts.filter(Boolean).join(", ");
}

/** Settings and findings in a line: "bits 4, group_size 32". */
function listed(values: Record<string, unknown> | undefined): string {
  return Object.entries(values ?? {})
    .map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(", ");
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

function buildWords(provenance: Variant["provenance"]): string {
  const { build_seconds, build_peak_bytes } = provenance ?? {};
  const parts = [
    build_seconds != null && formatSeconds(build_seconds),
    build_peak_bytes != null && `${formatBytes(build_peak_bytes)} at its peak`,
  ];
  return parts.filter(Boolean).join(", ");
}

/** What is known of a variant itself; facts that nobody has stated are left out. */
export function VariantFacts({ variant }: { variant: Variant }) {
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
      <Fact name="Settings">{listed(provenance?.settings)}</Fact>
      <Fact name="Built from">
        {provenance?.base_variant_id && <VariantName id={provenance.base_variant_id} />}
      </Fact>
      <Fact name="Built with">{versions.map(([name, version]) => `${name} ${version}`).join(", ")}</Fact>
      <Fact name="Calibrated on">
        {provenance?.calibration_digest && (
          <>
            text with sha256 <code className="digest">{provenance.calibration_digest}</code>
          </>
        )}
      </Fact>
      <Fact name="Build took">{buildWords(provenance)}</Fact>
      <Fact name="Found by the build">{listed(provenance?.facts)}</Fact>
      <Fact name="Needs">{provenance?.needs?.join(", ")}</Fact>
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

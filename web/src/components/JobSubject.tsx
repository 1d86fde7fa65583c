import { Link } from "@tanstack/react-router";
import type { Job } from "../api/types";

type Spec = Record<string, unknown>;

const isSpec = (value: unknown): value is Spec =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The name under which a description says what it is about: a variant of the registry, or where else it comes from. */
function named(source: unknown): { name: string; registered: boolean } | null {
  if (typeof source === "string") return { name: source, registered: true };
  if (!isSpec(source)) return null;
  if (typeof source.variant === "string") return { name: source.variant, registered: true };
  const other = [source.from, source.path ?? source.repo ?? source.model].filter(
    (part) => typeof part === "string",
  );
  return other.length > 0 ? { name: other.join(" "), registered: false } : null;
}

/** What a job is about: the variant it measures or evaluates, or the one it builds and what from. */
export function JobSubject({ job: { kind, spec, requires = [], result } }: { job: Job }) {
  const subject = named(kind === "build" ? spec.base : spec.variant);
  return (
    <>
      {kind === "build" && typeof spec.name === "string" && <div>{spec.name}</div>}
      {subject && (
        <div>
          {kind === "build" && <span className="muted">from </span>}
          {subject.registered ? (
            <Link to="/variants/$" params={{ _splat: subject.name }}>
              {subject.name}
            </Link>
          ) : (
            subject.name
          )}
        </div>
      )}
      {requires.length > 0 && <div className="muted">needs {requires.join(", ")}</div>}
      <details>
        <summary>{result ? "Description and result" : "Description"}</summary>
        <pre className="log">{JSON.stringify(spec, null, 1)}</pre>
        {result && <pre className="log">{JSON.stringify(result, null, 1)}</pre>}
      </details>
    </>
  );
}

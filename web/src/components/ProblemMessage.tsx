import { ApiError, type Problem } from "../api/client";
import { tokens } from "../api/token";
import { Prose } from "./Prose";

interface Place {
  before: string;
  word: string;
  after: string;
}

/** The word of the query that was not understood. The server counts code points, not UTF-16 units. */
function placeOf(extra: Problem["extra"]): Place | null {
  const { query, position, length } = extra ?? {};
  if (typeof query !== "string" || typeof position !== "number") return null;
  const characters = Array.from(query);
  const end = position + Math.max(1, typeof length === "number" ? length : 1);
  return {
    before: characters.slice(0, position).join(""),
    word: characters.slice(position, end).join(""),
    after: characters.slice(end).join(""),
  };
}

function words(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

interface Props {
  error: unknown;
  /** Ask the corrected question. */
  onAsk?: (text: string) => void;
  onRetry?: () => void;
}

/** A request that was refused for what the one who asks may do, with the way on. */
function Refused({ problem: { status, detail, allowed } }: { problem: Problem }) {
  const scopes = allowed?.match(/`(\w+)`/)?.[1];
  return (
    <div role="alert" className="problem">
      <p>
        <strong>{status === 401 ? "Not signed in" : "Not allowed"}</strong>: <Prose text={detail} />.
      </p>
      {scopes && (
        <p>
          Whoever runs the server can make such a token with{" "}
          <code>planner token create NAME --scope {scopes}</code>.
        </p>
      )}
      <button type="button" onClick={() => tokens.ask(true)}>
        {status === 401 ? "Sign in" : "Sign in with another token"}
      </button>
    </div>
  );
}

/** An error in words; a query error points at the word it did not understand and offers the nearest one. */
export function ProblemMessage({ error, onAsk, onRetry }: Props) {
  if (!(error instanceof ApiError)) {
    return (
      <div role="alert" className="problem">
        <p>
          The server cannot be reached. Is <code>planner up</code> running?
        </p>
        {onRetry && (
          <button type="button" onClick={onRetry}>
            Try again
          </button>
        )}
      </div>
    );
  }
  const { title, detail, problem, extra, status, code } = error.problem;
  if (status === 401 || (status === 403 && code === "not-allowed"))
    return <Refused problem={error.problem} />;
  const place = placeOf(extra);
  const suggestion = typeof extra?.suggestion === "string" ? extra.suggestion : null;
  const expected = words(extra?.expected);
  const nearest = words(extra?.nearest);
  const corrected = place && suggestion ? place.before + suggestion + place.after : null;
  return (
    <div role="alert" className="problem">
      <p>
        <strong>{title}</strong>: <Prose text={place && problem ? problem : detail} />
      </p>
      {place && (
        <p className="query">
          {place.before}
          <mark>{place.word || " "}</mark>
          {place.after}
        </p>
      )}
      {corrected && onAsk && (
        <p>
          Ask instead:{" "}
          <button type="button" className="link" onClick={() => onAsk(corrected)}>
            {corrected}
          </button>
        </p>
      )}
      {place && expected.length > 0 && (
        <>
          <p>Here the question may go on with</p>
          <ul>
            {expected.map((item) => (
              <li key={item}>
                <Prose text={item} />
              </li>
            ))}
          </ul>
        </>
      )}
      {nearest.length > 0 && <p>Nearest: {nearest.join(", ")}</p>}
      {status >= 500 && onRetry && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

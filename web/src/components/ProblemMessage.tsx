import { ApiError } from "../api/client";

/** An error in words; a query error points at the word it did not understand. */
export function ProblemMessage({ error }: { error: unknown }) {
  if (!(error instanceof ApiError)) {
    return (
      <p role="alert" className="problem">
        The server cannot be reached. Is `planner up` running?
      </p>
    );
  }
  const { problem } = error;
  const query = typeof problem.query === "string" ? problem.query : null;
  const position = typeof problem.position === "number" ? problem.position : null;
  const length = typeof problem.length === "number" ? Math.max(1, problem.length) : 1;
  return (
    <div role="alert" className="problem">
      <p>
        <strong>{problem.title}</strong>: {problem.detail}
      </p>
      {query !== null && position !== null && (
        <p className="query">
          {query.slice(0, position)}
          <mark>{query.slice(position, position + length) || " "}</mark>
          {query.slice(position + length)}
        </p>
      )}
    </div>
  );
}

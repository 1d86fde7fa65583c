import { useQuery } from "@tanstack/react-query";
import { useId } from "react";
import { api, unwrap } from "../api/client";
import { formatTime } from "../format";
import { ProblemMessage } from "./ProblemMessage";
import { VariantName } from "./VariantName";

interface Props {
  name: string;
  at: string | undefined;
  onAt: (at: string) => void;
}

/** The moment that a date field means when it is read as UTC; browsers leave out seconds that are zero. */
export function momentOf(field: string): string {
  return `${/T\d\d:\d\d$/.test(field) ? `${field}:00` : field}Z`;
}

/** What an alias pointed at on a date: what somebody who fetched it then has. */
export function AliasOn({ name, at, onAt }: Props) {
  const id = useId();
  const then = useQuery({
    queryKey: ["aliases", "at", name, at],
    enabled: Boolean(at),
    queryFn: async ({ signal }) =>
      unwrap(
        await api.GET("/api/v1/aliases/{name}/history", {
          params: { path: { name }, query: { at: momentOf(at ?? "") } },
          signal,
        }),
      ),
  });
  return (
    <section>
      <h2>
        <label htmlFor={id}>What did it point at on</label>
      </h2>
      <input
        id={id}
        type="datetime-local"
        value={at ?? ""}
        onChange={(event) => onAt(event.target.value)}
        aria-describedby={`${id}-zone`}
      />{" "}
      <span id={`${id}-zone`} className="muted">
        in UTC
      </span>
      <div aria-live="polite">
        {then.isError && <ProblemMessage error={then.error} />}
        {then.data && (
          <p>
            On {formatTime(then.data.at)}{" "}
            {then.data.variant_id ? (
              <>
                it pointed at <VariantName id={then.data.variant_id} />
                {then.data.move && (
                  <span className="muted">
                    , moved there {formatTime(then.data.move.moved_at)} by {then.data.move.actor}
                  </span>
                )}
                .
              </>
            ) : (
              <>
                there was no alias <code>{name}</code>.
              </>
            )}
          </p>
        )}
      </div>
    </section>
  );
}

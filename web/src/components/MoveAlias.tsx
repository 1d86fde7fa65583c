import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";
import { ApiError, api, unwrap } from "../api/client";
import type { Alias, Variant } from "../api/types";
import { ProblemMessage } from "./ProblemMessage";
import { VariantAndState } from "./VariantAndState";
import { VariantName } from "./VariantName";

/** Written down as who moved it on a server that knows nobody by a token. */
export const ACTOR = "dashboard";

interface Props {
  name: string;
  /** The variant the reader sees it point at; null when it does not exist yet. */
  expected: string | null;
  onMoved?: (alias: Alias) => void;
}

/** What a conflict says of where the alias really points; null for an error of another kind. */
export function pointsAt(error: unknown): { current: string | null } | null {
  if (!(error instanceof ApiError) || error.problem.status !== 409) return null;
  const { extra } = error.problem;
  if (!extra || !("current" in extra)) return null;
  return { current: typeof extra.current === "string" ? extra.current : null };
}

/** A refusal because somebody else was quicker names what the alias points at now; any other is shown as it is. */
export function MoveProblem({ error, name }: { error: unknown; name: string }) {
  const now = pointsAt(error);
  if (!now) return <ProblemMessage error={error} />;
  return (
    <div role="alert" className="problem">
      <p>
        <strong>Not moved</strong>: somebody else has changed <code>{name}</code> meanwhile.{" "}
        {now.current ? (
          <>
            It points at <VariantName id={now.current} /> now.
          </>
        ) : (
          "It does not exist any more."
        )}{" "}
        This page shows the new state; look at it and try again if you still want to.
      </p>
    </div>
  );
}

/** Points an alias at a variant in two steps: the name is looked up and shown first, then moved by compare-and-swap. */
export function MoveAlias({ name, expected, onMoved }: Props) {
  const client = useQueryClient();
  const id = useId();
  const [text, setText] = useState("");
  const look = useMutation({
    mutationFn: async (wanted: string) =>
      unwrap(await api.GET("/api/v1/variants/{name}", { params: { path: { name: wanted } } })),
  });
  const move = useMutation({
    mutationFn: async (variant: Variant) =>
      unwrap(
        await api.PUT("/api/v1/aliases/{name}", {
          params: { path: { name } },
          body: { variant: variant.id, expected, actor: ACTOR },
        }),
      ),
    onSuccess: (alias) => {
      setText("");
      look.reset();
      onMoved?.(alias);
    },
    // Also after a refusal: the page should show what is.
    onSettled: () => client.invalidateQueries({ queryKey: ["aliases"] }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    move.reset();
    if (text.trim()) look.mutate(text.trim());
  };
  const found = look.data;
  return (
    <>
      <form className="filters" onSubmit={submit}>
        <label htmlFor={`${id}-variant`}>
          Variant it shall point at
          <input
            id={`${id}-variant`}
            className="wide"
            value={text}
            maxLength={500}
            autoComplete="off"
            spellCheck={false}
            placeholder="model/name, id or alias"
            onChange={(event) => {
              setText(event.target.value);
              look.reset();
              move.reset();
            }}
          />
        </label>
        <button type="submit" disabled={!text.trim() || !name || look.isPending}>
          Look it up
        </button>
      </form>
      {look.isError && <ProblemMessage error={look.error} />}
      {found && found.id === expected && (
        <p role="status">
          <code>{name}</code> points at this variant already.
        </p>
      )}
      {found && found.id !== expected && (
        <section className="confirm" aria-label="Confirm the move">
          <p>
            {expected ? (
              <>
                <code>{name}</code> moves from <VariantName id={expected} /> to{" "}
                <VariantAndState id={found.id} />.
              </>
            ) : (
              <>
                <code>{name}</code> is made and points at <VariantAndState id={found.id} />.
              </>
            )}
          </p>
          <button
            type="button"
            className="primary"
            disabled={move.isPending}
            onClick={() => move.mutate(found)}
          >
            {expected ? `Move ${name}` : `Make ${name}`}
          </button>{" "}
          <button type="button" onClick={() => look.reset()}>
            Leave it
          </button>
        </section>
      )}
      {move.isError && <MoveProblem error={move.error} name={name} />}
      {move.isSuccess && (
        <p role="status">
          <code>{name}</code> points at <VariantName id={move.data.variant_id} />.
        </p>
      )}
    </>
  );
}

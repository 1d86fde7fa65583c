import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import { ApiError, api, unwrap } from "../api/client";
import { cleanToken, tokens } from "../api/token";
import { useToken } from "../useAccess";
import { ProblemMessage } from "./ProblemMessage";

/** Asks for a token, tries it, and keeps it for this tab when the server takes it. */
export function SignIn({ needed }: { needed: boolean }) {
  const { notice } = useToken();
  const [text, setText] = useState("");
  const box = useRef<HTMLInputElement>(null);
  const id = useId();
  useEffect(() => box.current?.focus(), []);
  const trying = useMutation({
    mutationFn: async (token: string) => {
      const headers = { authorization: `Bearer ${token}` };
      return unwrap(await api.GET("/api/v1/whoami", { headers }));
    },
    onSuccess: (_, token) => tokens.signIn(token),
  });
  const token = cleanToken(text);
  // Beside a page, the heading of that page is the first.
  const Heading = needed ? "h1" : "h2";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (token) trying.mutate(token);
  };
  const refused = trying.error instanceof ApiError && trying.error.problem.status === 401;
  return (
    <section className="sign-in" aria-labelledby={`${id}-title`}>
      <Heading id={`${id}-title`}>Sign in</Heading>
      <p>
        {notice ??
          (needed
            ? "This server shows its registry only to those who have a token."
            : "Reading needs no token on this server; changing something does.")}
      </p>
      <form onSubmit={submit}>
        <label htmlFor={`${id}-token`}>Token</label>
        <div className="ask-row">
          <input
            id={`${id}-token`}
            ref={box}
            type="password"
            autoComplete="off"
            spellCheck={false}
            placeholder="hf_…"
            maxLength={500}
            value={text}
            aria-invalid={refused || (text !== "" && !token)}
            aria-describedby={`${id}-kept`}
            onChange={(event) => {
              setText(event.target.value);
              trying.reset();
            }}
          />
          <button type="submit" disabled={!token || trying.isPending}>
            Sign in
          </button>
          {!needed && (
            <button type="button" onClick={() => tokens.ask(false)}>
              Not now
            </button>
          )}
        </div>
      </form>
      {text !== "" && !token && (
        <p role="alert" className="problem">
          A token has no blanks and no letters with accents. Was it copied whole?
        </p>
      )}
      {refused && (
        <p role="alert" className="problem">
          This token does not work: the server does not know it, or it has expired or was revoked.
        </p>
      )}
      {trying.isError && !refused && <ProblemMessage error={trying.error} />}
      <p className="muted" id={`${id}-kept`}>
        The token is kept in this tab only and forgotten when you close it, so that nobody who uses this
        browser after you can act in your name. It is sent to this server and nowhere else.
      </p>
      <p className="muted">
        No token yet? Whoever runs the server makes one there with{" "}
        <code>planner token create NAME --scope read</code>.
      </p>
    </section>
  );
}

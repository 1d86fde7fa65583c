import type { ReactNode } from "react";
import { tokens } from "../api/token";
import type { Scope } from "../api/types";
import { useAccess } from "../useAccess";

interface Props {
  scope: Scope;
  /** What one could do with it: "move this alias". */
  to: string;
  children: ReactNode;
}

/** Controls for those who have a scope; everyone else reads what is missing and how to get on. */
export function Needs({ scope, to, children }: Props) {
  const { may, signedIn, who } = useAccess();
  if (may(scope)) return children;
  return (
    <p className="muted">
      {signedIn && who ? (
        <>
          Your token, {who.name}, may {who.may.join(", ")}. To {to}, sign in with one that has{" "}
          <code>{scope}</code>:{" "}
        </>
      ) : (
        <>
          To {to}, sign in with a token that has <code>{scope}</code>:{" "}
        </>
      )}
      <button type="button" className="link" onClick={() => tokens.ask(true)}>
        {signedIn ? "use another token" : "sign in"}
      </button>
    </p>
  );
}

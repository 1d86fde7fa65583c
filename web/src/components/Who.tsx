import { tokens } from "../api/token";
import type { Access } from "../useAccess";

/** Who is signed in, what they may do, and the way out. Nothing where the server asks nobody for a token. */
export function Who({ access: { who, signedIn } }: { access: Access }) {
  if (!who || who.auth === "off") return null;
  if (!signedIn)
    return (
      <div className="who">
        <button type="button" onClick={() => tokens.ask(true)}>
          Sign in
        </button>
      </div>
    );
  const confined = who.resources ?? [];
  return (
    <section className="who" aria-label="Signed in">
      <details>
        <summary>
          <span className="muted">Signed in as</span> {who.name}
        </summary>
        <p className="rights">
          May {who.may.join(", ")}
          {confined.length > 0 && <>; writes only to {confined.join(", ")}</>}.
        </p>
      </details>
      <button type="button" onClick={() => tokens.signOut()}>
        Sign out
      </button>
    </section>
  );
}

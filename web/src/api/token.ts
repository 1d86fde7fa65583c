/**
 * The token this tab signs its requests with. It lives in sessionStorage, so it is gone when the tab is: a dashboard
 * on a shared machine must not leave the right to move `prod` behind. Everything that asks the server reads it here.
 */

const KEY = "planner-token";

export interface TokenState {
  token: string | null;
  /** Why one has to sign in again, when the server has refused the token that was used. */
  notice: string | null;
  /** Whether the reader has asked for the form. */
  asking: boolean;
  /** How many requests were refused for want of a token that works. */
  refusals: number;
}

function stored(): string | null {
  try {
    return window.sessionStorage.getItem(KEY);
  } catch {
    // Storage can be forbidden; the token then lasts as long as the page.
    return null;
  }
}

let state: TokenState = { token: stored(), notice: null, asking: false, refusals: 0 };
const listeners = new Set<() => void>();

function change(next: Partial<TokenState>): void {
  state = { ...state, ...next };
  for (const listener of listeners) listener();
}

function keep(token: string | null): void {
  try {
    if (token) window.sessionStorage.setItem(KEY, token);
    else window.sessionStorage.removeItem(KEY);
  } catch {
    // As above.
  }
}

export const tokens = {
  read: (): TokenState => state,
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  signIn(token: string): void {
    keep(token);
    change({ token, notice: null, asking: false });
  },
  signOut(): void {
    keep(null);
    change({ token: null, notice: null, asking: false });
  },
  /** Opens the form, or closes it. */
  ask(asking: boolean): void {
    change({ asking });
  },
  /** A request made with `used` was answered 401. A token that does not work any more is forgotten. */
  refused(used: string | null): void {
    if (used && used === state.token) {
      keep(null);
      change({
        token: null,
        notice: "Your token does not work any more: it has expired or was revoked.",
        refusals: state.refusals + 1,
      });
    } else change({ refusals: state.refusals + 1 });
  },
};

/** What a token may be made of: anything else cannot stand in a header. */
export function cleanToken(text: string): string | null {
  const token = text.trim().replace(/^bearer\s+/i, "");
  return /^[\x21-\x7e]+$/.test(token) ? token : null;
}

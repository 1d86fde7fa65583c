import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useSyncExternalStore } from "react";
import { ApiError, api, unwrap } from "./api/client";
import { tokens } from "./api/token";
import type { Scope, Whoami } from "./api/types";

export const WHOAMI = ["whoami"];

export interface Access {
  /** What the server said of the one who asks; undefined while it has not. */
  who: Whoami | undefined;
  /** Whether the server shows nothing without a token. */
  blocked: boolean;
  signedIn: boolean;
  /** Whether a page should offer what needs this scope. Until the server has said otherwise, it should. */
  may: (scope: Scope) => boolean;
}

/** Who is asking and what they may do: asked once, and again whenever a token is refused. */
export function useAccess(): Access {
  const whoami = useQuery({
    queryKey: WHOAMI,
    staleTime: 300_000,
    queryFn: async ({ signal }) => unwrap(await api.GET("/api/v1/whoami", { signal })),
  });
  const blocked = whoami.error instanceof ApiError && whoami.error.problem.status === 401;
  const who = blocked ? undefined : whoami.data;
  return {
    who,
    blocked,
    signedIn: Boolean(who && who.auth !== "off" && who.token_id),
    may: (scope) => (who ? who.may.includes(scope) : !blocked),
  };
}

export function useToken() {
  return useSyncExternalStore(tokens.subscribe, tokens.read);
}

/**
 * Keeps what is shown in step with the token: another one may show other things, so all that was fetched is asked for
 * again; and after a refusal the server is asked who it takes us for.
 */
export function useTokenChanges(blocked: boolean): void {
  const client = useQueryClient();
  const { token, refusals } = useToken();
  const before = useRef({ token, refusals });
  useEffect(() => {
    const last = before.current;
    before.current = { token, refusals };
    if (token !== last.token) void client.resetQueries();
    // Where nothing is shown anyway there is no more to learn.
    else if (refusals !== last.refusals && !blocked) void client.invalidateQueries({ queryKey: WHOAMI });
  }, [client, token, refusals, blocked]);
}

/** The one place that talks to the server: typed by its OpenAPI document, errors as RFC 9457 problem details. */

import createClient from "openapi-fetch";
import type { components, paths } from "./schema";
import { tokens } from "./token";

/** What an error is known by here; everything else of the problem details may be missing. */
export type Problem = Pick<components["schemas"]["Problem"], "title" | "detail" | "status"> &
  Partial<components["schemas"]["Problem"]>;

export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

/** Signs a request with this tab's token, unless it brings its own to be tried. */
async function signed(request: Request): Promise<Response> {
  const trying = request.headers.has("authorization");
  const { token } = tokens.read();
  if (token && !trying) request.headers.set("authorization", `Bearer ${token}`);
  // `fetch` is looked up at each call, so that a test can put its own in place.
  const response = await globalThis.fetch(request);
  // Without a token, the question who asks has its answer: there is nothing to forget, and nothing to ask again.
  const answered = !token && new URL(request.url).pathname === "/api/v1/whoami";
  if (response.status === 401 && !trying && !answered) tokens.refused(token);
  return response;
}

export const api = createClient<paths>({ baseUrl: window.location.origin, fetch: signed });

/** Unwraps an answer of `api`, or throws its problem as an ApiError. */
export function unwrap<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data !== undefined) return answer.data;
  const problem = (answer.error ?? {}) as Partial<Problem>;
  throw new ApiError({
    ...problem,
    title: problem.title ?? `HTTP ${answer.response.status}`,
    detail: problem.detail ?? answer.response.statusText,
    status: answer.response.status,
  });
}

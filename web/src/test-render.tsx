/** Puts a component where it can link and ask: a router in memory, a query client, and a server of recorded answers. */

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import {
  createMemoryHistory,
  createRootRoute,
  createRoute,
  createRouter,
  Outlet,
  RouterProvider,
} from "@tanstack/react-router";
import { render } from "@testing-library/react";
import type { ReactNode } from "react";
import { vi } from "vitest";
import { makeRouter } from "./router";

function provide(content: ReactNode) {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  return render(<QueryClientProvider client={client}>{content}</QueryClientProvider>);
}

/** Renders one component; links lead to a page that is not there. */
export async function show(content: ReactNode) {
  const root = createRootRoute({ component: Outlet, notFoundComponent: () => "elsewhere" });
  const home = createRoute({ getParentRoute: () => root, path: "/", component: () => content });
  const router = createRouter({ routeTree: root.addChildren([home]), history: createMemoryHistory() });
  await router.load();
  // biome-ignore lint/suspicious/noExplicitAny: the registered type is that of the dashboard's own router
  return { ...provide(<RouterProvider router={router as any} />), router };
}

/** Renders the whole dashboard at an address. */
export async function visit(address: string) {
  const router = makeRouter(createMemoryHistory({ initialEntries: [address] }));
  await router.load();
  return { ...provide(<RouterProvider router={router} />), router };
}

const WHOAMI = "/api/v1/whoami";
/** What a server says that asks nobody for a token. */
const ANYONE = { auth: "off", name: "anonymous", may: ["read", "register", "measure", "promote", "admin"] };

/** Answers `fetch` by path, or by method and path; returns the requests it saw, but for who asks where no test says so. */
export function serve(answers: Record<string, unknown>): Request[] {
  const seen: Request[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const pathname = decodeURIComponent(new URL(request.url).pathname);
    let body = answers[`${request.method} ${pathname}`] ?? answers[pathname];
    if (body === undefined && pathname === WHOAMI) body = ANYONE;
    else seen.push(request.clone());
    if (typeof body === "function") body = body(request);
    if (body === undefined) throw new TypeError(`nothing is served at ${pathname}`);
    const status = (body as { status?: unknown }).status;
    const failed = typeof status === "number";
    return new Response(JSON.stringify(body), {
      status: failed ? status : 200,
      headers: { "content-type": failed ? "application/problem+json" : "application/json" },
    });
  });
  return seen;
}

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

/** Answers `fetch` by path; returns the requests it saw. */
export function serve(answers: Record<string, unknown>): Request[] {
  const seen: Request[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    seen.push(request.clone());
    const { pathname } = new URL(request.url);
    const body = answers[decodeURIComponent(pathname)];
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

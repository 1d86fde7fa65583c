/** Routes. What a page shows is in its URL, so that every view can be linked and the back button works. */

import { createRootRoute, createRoute, createRouter, Link, Outlet } from "@tanstack/react-router";
import { AskPage } from "./pages/AskPage";
import { PlanPage } from "./pages/PlanPage";
import { parseVariantSearch, VariantsPage } from "./pages/VariantsPage";

function Layout() {
  return (
    <>
      <header>
        <Link to="/" search={{}} className="brand">
          <img src="/icon.svg" alt="" width="24" height="24" /> Variant Planner
        </Link>
        <nav>
          <Link to="/" search={{}} activeOptions={{ exact: true, includeSearch: false }}>
            Ask
          </Link>
          <Link to="/variants" search={{}} activeOptions={{ includeSearch: false }}>
            Variants
          </Link>
          <a href="/schema">API</a>
        </nav>
      </header>
      <main>
        <Outlet />
      </main>
    </>
  );
}

function NotFound() {
  return (
    <section>
      <h1>No such page</h1>
      <p>
        <Link to="/" search={{}}>
          Ask a question
        </Link>{" "}
        or{" "}
        <Link to="/variants" search={{}}>
          browse the variants
        </Link>
        .
      </p>
    </section>
  );
}

const rootRoute = createRootRoute({ component: Layout, notFoundComponent: NotFound });

export const askRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/",
  validateSearch: (search: Record<string, unknown>): { q?: string } =>
    typeof search.q === "string" && search.q ? { q: search.q } : {},
  component: function Ask() {
    const { q } = askRoute.useSearch();
    const navigate = askRoute.useNavigate();
    return <AskPage query={q} onAsk={(text) => void navigate({ search: text ? { q: text } : {} })} />;
  },
});

const planRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/plans/$id",
  component: function StoredPlan() {
    return <PlanPage id={planRoute.useParams().id} />;
  },
});

export const variantsRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/variants",
  validateSearch: parseVariantSearch,
  component: function Variants() {
    const search = variantsRoute.useSearch();
    const navigate = variantsRoute.useNavigate();
    return <VariantsPage search={search} onChange={(next) => void navigate({ search: next })} />;
  },
});

export const router = createRouter({
  routeTree: rootRoute.addChildren([askRoute, planRoute, variantsRoute]),
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

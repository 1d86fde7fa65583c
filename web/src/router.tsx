/** Routes. What a page shows is in its URL, so that every view can be linked and the back button works. */

import {
  createRootRoute,
  createRoute,
  createRouter,
  type ErrorComponentProps,
  Link,
  parseSearchWith,
  type RouterHistory,
  stringifySearchWith,
} from "@tanstack/react-router";
import { Layout } from "./components/Layout";
import { AliasesPage, parseAliasesSearch } from "./pages/AliasesPage";
import { AliasPage } from "./pages/AliasPage";
import { AskPage } from "./pages/AskPage";
import { JobsPage, parseJobSearch } from "./pages/JobsPage";
import { PlanPage } from "./pages/PlanPage";
import { VariantPage } from "./pages/VariantPage";
import { parseVariantSearch, textOf, VariantsPage } from "./pages/VariantsPage";
import { useTitle } from "./useTitle";

function NotFound() {
  useTitle("No such page");
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

/** A fault of the dashboard itself; the server's errors are shown where they belong. */
function Fault({ error }: ErrorComponentProps) {
  return (
    <section role="alert" className="problem">
      <p>
        <strong>This page failed</strong>: {error instanceof Error ? error.message : String(error)}
      </p>
      <button type="button" onClick={() => window.location.reload()}>
        Load it again
      </button>
    </section>
  );
}

const rootRoute = createRootRoute({ component: Layout, notFoundComponent: NotFound });

export const askRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/",
  validateSearch: (search: Record<string, unknown>): { q?: string } => {
    const q = textOf(search.q);
    return q ? { q } : {};
  },
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

const variantsParent = createRoute({ getParentRoute: () => rootRoute, path: "/variants" });

export const variantsRoute = createRoute({
  getParentRoute: () => variantsParent,
  path: "/",
  validateSearch: parseVariantSearch,
  component: function Variants() {
    const search = variantsRoute.useSearch();
    const navigate = variantsRoute.useNavigate();
    return <VariantsPage search={search} onChange={(next) => void navigate({ search: next })} />;
  },
});

const variantRoute = createRoute({
  getParentRoute: () => variantsParent,
  path: "$",
  component: function OneVariant() {
    return <VariantPage name={variantRoute.useParams()._splat ?? ""} />;
  },
});

export const jobsRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/jobs",
  validateSearch: parseJobSearch,
  component: function Jobs() {
    const search = jobsRoute.useSearch();
    const navigate = jobsRoute.useNavigate();
    return <JobsPage search={search} onChange={(next) => void navigate({ search: next })} />;
  },
});

const aliasesParent = createRoute({ getParentRoute: () => rootRoute, path: "/aliases" });

export const aliasesRoute = createRoute({
  getParentRoute: () => aliasesParent,
  path: "/",
  validateSearch: parseAliasesSearch,
  component: function Aliases() {
    const search = aliasesRoute.useSearch();
    const navigate = aliasesRoute.useNavigate();
    return <AliasesPage search={search} onChange={(next) => void navigate({ search: next })} />;
  },
});

export const aliasRoute = createRoute({
  getParentRoute: () => aliasesParent,
  path: "$name",
  validateSearch: (search: Record<string, unknown>): { at?: string } => {
    const at = textOf(search.at);
    return at ? { at } : {};
  },
  component: function OneAlias() {
    const { name } = aliasRoute.useParams();
    const { at } = aliasRoute.useSearch();
    const navigate = aliasRoute.useNavigate();
    return (
      <AliasPage
        key={name}
        name={name}
        at={at}
        onAt={(next) => void navigate({ search: next ? { at: next } : {}, replace: true })}
      />
    );
  },
});

const routeTree = rootRoute.addChildren([
  askRoute,
  planRoute,
  variantsParent.addChildren([variantsRoute, variantRoute]),
  aliasesParent.addChildren([aliasesRoute, aliasRoute]),
  jobsRoute,
]);

/** The dashboard's router; tests give it a history in memory. */
export function makeRouter(history?: RouterHistory) {
  return createRouter({
    routeTree,
    ...(history ? { history } : {}),
    defaultErrorComponent: Fault,
    scrollRestoration: true,
    // What a route does not read from the URL does not reach its page.
    search: { strict: true },
    // Texts stand in the URL as they are, not as JSON.
    parseSearch: parseSearchWith((text) => text),
    stringifySearch: stringifySearchWith(JSON.stringify),
    // Ids hold colons; they read better unescaped.
    pathParamsAllowedCharacters: [":"],
  });
}

export const router = makeRouter();

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

import { Link, Outlet } from "@tanstack/react-router";
import { useAccess, useToken, useTokenChanges } from "../useAccess";
import { SignIn } from "./SignIn";
import { Who } from "./Who";

const PAGES = [
  ["/variants", "Variants"],
  ["/aliases", "Aliases"],
  ["/jobs", "Jobs"],
] as const;

/** What surrounds every page: the way between them, and who is looking. */
export function Layout() {
  const access = useAccess();
  const { asking } = useToken();
  useTokenChanges(access.blocked);
  return (
    <>
      <header>
        <Link to="/" search={{}} className="brand">
          <img src="/icon.svg" alt="" width="24" height="24" /> Variant Planner
        </Link>
        <nav aria-label="Pages">
          <Link to="/" search={{}} activeOptions={{ exact: true, includeSearch: false }}>
            Ask
          </Link>
          {PAGES.map(([to, name]) => (
            <Link key={to} to={to} search={{}} activeOptions={{ includeSearch: false }}>
              {name}
            </Link>
          ))}
          <a href="/schema/openapi.json">API</a>
        </nav>
        <Who access={access} />
      </header>
      <main>
        {(access.blocked || asking) && <SignIn needed={access.blocked} />}
        {/* Hidden, not taken away: what was typed before the token ran out is there again afterwards. */}
        <div hidden={access.blocked}>
          <Outlet />
        </div>
      </main>
    </>
  );
}

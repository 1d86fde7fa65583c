import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, unwrap } from "../api/client";
import type { Alias } from "../api/types";

/** Every alias of the registry: names that people give, so there are never many. */
export async function allAliases(signal: AbortSignal): Promise<Alias[]> {
  const found: Alias[] = [];
  let cursor: string | null | undefined = null;
  do {
    const query: { limit: number; cursor?: string } = { limit: 200, ...(cursor ? { cursor } : {}) };
    const page: { items: Alias[]; next_cursor?: string | null } = unwrap(
      await api.GET("/api/v1/aliases", { params: { query }, signal }),
    );
    found.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor);
  return found;
}

/** The aliases that point at a variant, each a link to its history. Nothing when there are none. */
export function Aliases({ variant }: { variant: string }) {
  const { data } = useQuery({
    queryKey: ["aliases", "all"],
    queryFn: ({ signal }) => allAliases(signal),
  });
  const here = (data ?? []).filter((alias) => alias.variant_id === variant);
  if (here.length === 0) return null;
  return (
    <ul className="chips" aria-label="Aliases">
      {here.map((alias) => (
        <li key={alias.name} className="chip">
          <Link to="/aliases/$name" params={{ name: alias.name }} search={{}}>
            {alias.name}
          </Link>
          {alias.protected && <span className="origin"> protected</span>}
        </li>
      ))}
    </ul>
  );
}

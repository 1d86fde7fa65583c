import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, unwrap } from "../api/client";
import type { Alias } from "../api/types";
import { type Column, DataTable } from "../components/DataTable";
import { MoveAlias } from "../components/MoveAlias";
import { Needs } from "../components/Needs";
import { ProblemMessage } from "../components/ProblemMessage";
import { VariantAndState } from "../components/VariantAndState";
import { formatTime } from "../format";
import { useTitle } from "../useTitle";
import { textOf } from "./VariantsPage";

const PAGE_SIZE = 25;

export interface AliasSearch {
  cursor?: string;
}

/** Reads the page's state from a URL; anything else is dropped. */
export function parseAliasesSearch(raw: Record<string, unknown>): AliasSearch {
  const cursor = textOf(raw.cursor);
  return cursor ? { cursor } : {};
}

const COLUMNS: Column<Alias>[] = [
  {
    heading: "Alias",
    cell: (row) => (
      <Link to="/aliases/$name" params={{ name: row.name }} search={{}}>
        {row.name}
      </Link>
    ),
  },
  { heading: "Points at", cell: (row) => <VariantAndState id={row.variant_id} /> },
  {
    heading: "Since",
    cell: (row) => (
      <>
        {formatTime(row.moved_at)} <span className="muted">by {row.actor}</span>
      </>
    ),
  },
  { heading: "Moves", cell: (row) => row.number },
  { heading: "Protected", cell: (row) => (row.protected ? "yes" : <span className="muted">no</span>) },
];

/** Makes an alias that is not there yet. */
function NewAlias() {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  return (
    <details className="new-alias">
      <summary>New alias</summary>
      <Needs scope="promote" to="make an alias">
        <div className="filters">
          <label>
            Name
            <input
              value={name}
              maxLength={200}
              autoComplete="off"
              spellCheck={false}
              placeholder="prod"
              onChange={(event) => setName(event.target.value)}
            />
          </label>
        </div>
        <MoveAlias
          name={name.trim()}
          expected={null}
          onMoved={(alias) =>
            void navigate({ to: "/aliases/$name", params: { name: alias.name }, search: {} })
          }
        />
      </Needs>
    </details>
  );
}

/** Names that move between variants. */
export function AliasesPage({
  search,
  onChange,
}: {
  search: AliasSearch;
  onChange: (next: AliasSearch) => void;
}) {
  useTitle("Aliases");
  const page = useQuery({
    queryKey: ["aliases", "page", search],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) =>
      unwrap(
        await api.GET("/api/v1/aliases", { params: { query: { ...search, limit: PAGE_SIZE } }, signal }),
      ),
  });
  const next = page.data?.next_cursor;
  return (
    <>
      <h1>Aliases</h1>
      <p className="muted">
        A name such as <code>prod</code> that points at one variant and moves to another. Whoever fetches by
        it always gets what it points at then; every move is kept.
      </p>
      {page.isPending && <output className="loading">Loading…</output>}
      {page.isError && <ProblemMessage error={page.error} onRetry={() => void page.refetch()} />}
      {page.data && !page.isError && page.data.items.length === 0 && (
        <p className="empty">
          There is no alias yet. Make one below, or with planner alias set prod VARIANT.
        </p>
      )}
      {page.data && !page.isError && page.data.items.length > 0 && (
        <DataTable
          caption="Aliases"
          columns={COLUMNS}
          rows={page.data.items}
          rowKey={(row) => row.name}
          busy={page.isFetching}
        />
      )}
      {(search.cursor || next) && (
        <nav className="pages" aria-label="Pages">
          <button type="button" disabled={!search.cursor} onClick={() => onChange({})}>
            First page
          </button>
          <button type="button" disabled={!next} onClick={() => onChange(next ? { cursor: next } : {})}>
            Next page
          </button>
        </nav>
      )}
      <NewAlias />
    </>
  );
}

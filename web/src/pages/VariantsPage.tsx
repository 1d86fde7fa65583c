import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { api, unwrap } from "../api/client";
import type { FileFormat, VariantRow, VariantSort } from "../api/types";
import { type Column, DataTable } from "../components/DataTable";
import { FigureText } from "../components/FigureText";
import { ProblemMessage } from "../components/ProblemMessage";
import { StateBadge } from "../components/StateBadge";
import { VariantLink } from "../components/VariantLink";
import { significant } from "../format";
import { useTitle } from "../useTitle";

const PAGE_SIZE = 50;

export interface VariantSearch {
  search?: string;
  model?: string;
  scheme?: string;
  format?: string;
  fetchable?: boolean;
  sort?: string;
  cursor?: string;
}

type TextKey = Exclude<keyof VariantSearch, "fetchable">;
const TEXT_KEYS: TextKey[] = ["search", "model", "scheme", "format", "sort", "cursor"];

const SORTS: [VariantSort, string][] = [
  ["name", "name"],
  ["loss", "least loss"],
  ["-loss", "most loss"],
  ["weight_bytes", "smallest weights"],
  ["-weight_bytes", "largest weights"],
  ["effective_bits", "fewest bits a weight"],
  ["-effective_bits", "most bits a weight"],
  ["-created_at", "newest"],
];

const COLUMNS: Column<VariantRow>[] = [
  {
    heading: "Variant",
    sortKey: "name",
    cell: ({ variant, state }) => (
      <>
        <VariantLink id={variant.id}>{variant.name}</VariantLink> <StateBadge state={state?.state} />
        <div className="muted">{variant.model_id}</div>
        {state?.state !== "active" && state?.reason && <div className="doubt">{state.reason}</div>}
      </>
    ),
  },
  { heading: "Scheme", cell: (row) => row.scheme },
  {
    heading: "Weights",
    sortKey: "weight_bytes",
    cell: ({ variant }) => <FigureText figure={variant.weight_bytes} />,
  },
  {
    heading: "Bits/weight",
    sortKey: "effective_bits",
    cell: ({ variant }) =>
      variant.effective_bits == null ? (
        <span className="muted">unknown</span>
      ) : (
        significant(variant.effective_bits)
      ),
  },
  { heading: "Loss", sortKey: "loss", cell: (row) => <FigureText figure={row.loss} /> },
  { heading: "Profiles", cell: (row) => row.profile_count ?? 0 },
  {
    heading: "Files",
    cell: ({ variant }) => variant.artifacts?.length ?? <span className="muted tight">none here</span>,
  },
];

/** A URL's value as text; the router has already read "70" as a number and "true" as a flag. */
export function textOf(value: unknown): string {
  return ["string", "number", "boolean"].includes(typeof value) ? String(value) : "";
}

/** Reads the page's state from a URL; anything that is not a known text or flag is dropped. */
export function parseVariantSearch(raw: Record<string, unknown>): VariantSearch {
  const search: VariantSearch = {};
  for (const key of TEXT_KEYS) {
    const value = textOf(raw[key]);
    if (value) search[key] = value;
  }
  if (raw.fetchable === true) search.fetchable = true;
  return search;
}

interface Props {
  search: VariantSearch;
  onChange: (next: VariantSearch) => void;
}

/** Every control changes the URL; the two text fields do so when the form is submitted. */
function Filters({ search, onChange }: Props) {
  const [text, setText] = useState(search.search ?? "");
  const [scheme, setScheme] = useState(search.scheme ?? "");
  useEffect(() => setText(search.search ?? ""), [search.search]);
  useEffect(() => setScheme(search.scheme ?? ""), [search.scheme]);
  // Any other filter or order starts again at the first page.
  const apply = (changes: Record<string, string | boolean>) =>
    onChange(
      parseVariantSearch({ ...search, search: text.trim(), scheme: scheme.trim(), ...changes, cursor: "" }),
    );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    apply({});
  };
  return (
    <form className="filters" onSubmit={submit}>
      <label>
        Search
        <input
          type="search"
          value={text}
          onChange={(e) => setText(e.target.value)}
          placeholder="part of a name"
          maxLength={200}
        />
      </label>
      <label>
        Scheme
        <input
          type="search"
          value={scheme}
          onChange={(e) => setScheme(e.target.value)}
          placeholder="int4, fp8, q4_k_m …"
          maxLength={200}
        />
      </label>
      <label>
        Format
        <select value={search.format ?? ""} onChange={(e) => apply({ format: e.target.value })}>
          <option value="">any</option>
          <option value="safetensors">safetensors</option>
          <option value="gguf">gguf</option>
          <option value="unknown">not stated</option>
        </select>
      </label>
      <label>
        Order
        <select value={search.sort ?? "name"} onChange={(e) => apply({ sort: e.target.value })}>
          {SORTS.map(([key, words]) => (
            <option key={key} value={key}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <label className="check">
        <input
          type="checkbox"
          checked={search.fetchable ?? false}
          onChange={(e) => apply({ fetchable: e.target.checked })}
        />
        files held here
      </label>
      {search.model && (
        <button type="button" className="chip" onClick={() => apply({ model: "" })}>
          model {search.model} <span aria-hidden="true">×</span>
          <span className="visually-hidden">: remove this filter</span>
        </button>
      )}
      <button type="submit">Search</button>
    </form>
  );
}

function Pages({ search, onChange, next }: Props & { next: string | null | undefined }) {
  const { cursor, ...first } = search;
  if (!cursor && !next) return null;
  return (
    <nav className="pages" aria-label="Pages">
      <button type="button" disabled={!cursor} onClick={() => onChange(first)}>
        First page
      </button>
      <button type="button" disabled={!next} onClick={() => onChange({ ...search, cursor: next ?? "" })}>
        Next page
      </button>
    </nav>
  );
}

/** Variants, filtered, sorted and paged by the server; the state is in the URL. */
export function VariantsPage({ search, onChange }: Props) {
  useTitle("Variants");
  const page = useQuery({
    queryKey: ["variants", search],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      // The URL may say anything; what the server does not know it refuses in words that are shown.
      const { sort, format, ...rest } = search;
      const query = {
        ...rest,
        ...(format ? { format: format as FileFormat } : {}),
        ...(sort ? { sort: sort as VariantSort } : {}),
        limit: PAGE_SIZE,
      };
      return unwrap(await api.GET("/api/v1/variants", { params: { query }, signal }));
    },
  });
  return (
    <>
      <h1>Variants</h1>
      <Filters search={search} onChange={onChange} />
      {page.isPending && <output className="loading">Loading…</output>}
      {page.isError && (
        <>
          <ProblemMessage error={page.error} onRetry={() => void page.refetch()} />
          <button type="button" onClick={() => onChange({})}>
            Clear the filters
          </button>
        </>
      )}
      {page.data && !page.isError && page.data.items.length === 0 && (
        <p className="empty">
          No variant matches.{" "}
          <button type="button" className="link" onClick={() => onChange({})}>
            Clear the filters
          </button>
        </p>
      )}
      {page.data && !page.isError && page.data.items.length > 0 && (
        <>
          <DataTable
            caption="Variants"
            columns={COLUMNS}
            rows={page.data.items}
            rowKey={(row) => row.variant.id}
            sort={search.sort ?? "name"}
            onSort={(sort) => onChange(parseVariantSearch({ ...search, sort, cursor: "" }))}
            busy={page.isFetching}
            roomy
          />
          <Pages search={search} onChange={onChange} next={page.data.next_cursor} />
        </>
      )}
    </>
  );
}

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { api, unwrap } from "../api/client";
import type { VariantRow } from "../api/types";
import { FigureText } from "../components/FigureText";
import { ProblemMessage } from "../components/ProblemMessage";
import { significant } from "../format";

const COLUMNS = [
  { key: "name", label: "Variant" },
  { key: null, label: "Model" },
  { key: null, label: "Scheme" },
  { key: "weight_bytes", label: "Weights" },
  { key: "effective_bits", label: "Bits/weight" },
  { key: "loss", label: "Loss" },
  { key: null, label: "Profiles" },
  { key: null, label: "Files" },
] as const;

export interface VariantSearch {
  search?: string;
  model?: string;
  scheme?: string;
  format?: string;
  fetchable?: boolean;
  sort?: string;
  cursor?: string;
}

const TEXT_KEYS = ["search", "model", "scheme", "format", "sort", "cursor"] as const;

/** Reads the page's state from a URL; anything that is not a known text or flag is dropped. */
export function parseVariantSearch(raw: Record<string, unknown>): VariantSearch {
  const search: VariantSearch = {};
  for (const key of TEXT_KEYS) {
    const value = raw[key];
    if ((typeof value === "string" || typeof value === "number") && value !== "") search[key] = String(value);
  }
  if (raw.fetchable === true) search.fetchable = true;
  return search;
}

function nextSort(current: string | undefined, key: string): string {
  return current === key ? `-${key}` : key;
}

function Filters({ search, onChange }: { search: VariantSearch; onChange: (next: VariantSearch) => void }) {
  const [text, setText] = useState(search.search ?? "");
  useEffect(() => setText(search.search ?? ""), [search.search]);
  const { cursor: _, ...filters } = search;
  const set = (key: "search" | "model" | "scheme" | "format", value: string) => {
    const next = { ...filters };
    if (value) next[key] = value;
    else delete next[key];
    onChange(next);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    set("search", text.trim());
  };
  return (
    <form className="filters" onSubmit={submit}>
      <label>
        Search
        <input
          type="search"
          value={text}
          onChange={(e) => setText(e.target.value)}
          placeholder="name or model"
        />
      </label>
      <label>
        Scheme
        <input
          key={search.scheme ?? ""}
          defaultValue={search.scheme ?? ""}
          placeholder="int4, fp8, q4_k_m …"
          onBlur={(e) =>
            e.target.value.trim() !== (search.scheme ?? "") && set("scheme", e.target.value.trim())
          }
          onKeyDown={(e) => e.key === "Enter" && set("scheme", e.currentTarget.value.trim())}
        />
      </label>
      <label>
        Format
        <select value={search.format ?? ""} onChange={(e) => set("format", e.target.value)}>
          <option value="">any</option>
          <option value="safetensors">safetensors</option>
          <option value="gguf">gguf</option>
        </select>
      </label>
      <label className="check">
        <input
          type="checkbox"
          checked={search.fetchable ?? false}
          onChange={(e) => {
            const { fetchable: __, ...rest } = filters;
            onChange(e.target.checked ? { ...rest, fetchable: true } : rest);
          }}
        />
        files here only
      </label>
      <button type="submit">Search</button>
    </form>
  );
}

function Row({ row }: { row: VariantRow }) {
  const { variant } = row;
  return (
    <tr>
      <td title={variant.id}>{variant.name}</td>
      <td>{variant.model_id}</td>
      <td>{row.scheme}</td>
      <td>
        <FigureText figure={variant.weight_bytes} />
      </td>
      <td>
        {variant.effective_bits == null ? (
          <span className="muted">unknown</span>
        ) : (
          significant(variant.effective_bits)
        )}
      </td>
      <td>
        <FigureText figure={row.loss} />
      </td>
      <td>{row.profile_count}</td>
      <td>
        {variant.artifacts?.length ? variant.artifacts.length : <span className="muted">published only</span>}
      </td>
    </tr>
  );
}

/** Variants, filtered, sorted and paged by the server; the state is in the URL. */
export function VariantsPage(props: { search: VariantSearch; onChange: (next: VariantSearch) => void }) {
  const { search, onChange } = props;
  const page = useQuery({
    queryKey: ["variants", search],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) =>
      unwrap(
        await api.GET("/api/v1/variants", { params: { query: { ...search, limit: 50 } as never }, signal }),
      ),
  });
  return (
    <>
      <h1>Variants</h1>
      <Filters search={search} onChange={onChange} />
      {page.isPending && <output className="muted">Loading…</output>}
      {page.isError && <ProblemMessage error={page.error} />}
      {page.data && page.data.items.length === 0 && (
        <p className="empty">
          No variant matches.{" "}
          <button type="button" className="link" onClick={() => onChange({})}>
            Clear the filters
          </button>
        </p>
      )}
      {page.data && page.data.items.length > 0 && (
        <>
          <div className="scroll">
            <table aria-busy={page.isFetching}>
              <caption className="visually-hidden">Variants</caption>
              <thead>
                <tr>
                  {COLUMNS.map(({ key, label }) => {
                    const state =
                      key && search.sort === key
                        ? "ascending"
                        : key && search.sort === `-${key}`
                          ? "descending"
                          : "none";
                    return (
                      <th key={label} scope="col" aria-sort={key ? state : undefined}>
                        {key ? (
                          <button
                            type="button"
                            className="sort"
                            onClick={() => {
                              const { cursor: _, ...rest } = search;
                              onChange({ ...rest, sort: nextSort(search.sort, key) });
                            }}
                          >
                            {label} {state === "ascending" ? "▲" : state === "descending" ? "▼" : ""}
                          </button>
                        ) : (
                          label
                        )}
                      </th>
                    );
                  })}
                </tr>
              </thead>
              <tbody>
                {page.data.items.map((row) => (
                  <Row key={row.variant.id} row={row} />
                ))}
              </tbody>
            </table>
          </div>
          <nav className="pages" aria-label="Pages">
            {search.cursor && (
              <button
                type="button"
                onClick={() => {
                  const { cursor: _, ...rest } = search;
                  onChange(rest);
                }}
              >
                First page
              </button>
            )}
            {page.data.next_cursor && (
              <button
                type="button"
                onClick={() => onChange({ ...search, cursor: page.data.next_cursor ?? "" })}
              >
                Next page
              </button>
            )}
          </nav>
        </>
      )}
    </>
  );
}

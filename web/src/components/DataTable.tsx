import type { ReactNode } from "react";

export interface Column<Row> {
  heading: string;
  cell: (row: Row) => ReactNode;
  /** Key the server sorts by, for columns that can be sorted. */
  sortKey?: string;
}

interface Props<Row> {
  caption: string;
  columns: Column<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string;
  /** The order in force: a sort key, or "-key" for largest first. */
  sort?: string | undefined;
  onSort?: (sort: string) => void;
  busy?: boolean;
  /** Rows of two lines: figures put interval and basis below the value. */
  roomy?: boolean;
}

/** A table that turns into one card a row on a narrow screen. */
export function DataTable<Row>(props: Props<Row>) {
  const { caption, columns, rows, rowKey, sort, onSort, busy = false, roomy = false } = props;
  return (
    <table className={roomy ? "data roomy" : "data"} aria-busy={busy}>
      <caption className="visually-hidden">{caption}</caption>
      <thead>
        <tr>
          {columns.map(({ heading, sortKey }) => {
            if (!sortKey || !onSort)
              return (
                <th key={heading} scope="col">
                  {heading}
                </th>
              );
            const state = sort === sortKey ? "ascending" : sort === `-${sortKey}` ? "descending" : "none";
            return (
              <th key={heading} scope="col" aria-sort={state}>
                <button
                  type="button"
                  className="sort"
                  onClick={() => onSort(state === "ascending" ? `-${sortKey}` : sortKey)}
                >
                  {heading}
                  <span aria-hidden="true">{{ ascending: " ▲", descending: " ▼", none: " ↕" }[state]}</span>
                </button>
              </th>
            );
          })}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={rowKey(row)}>
            {columns.map(({ heading, cell }) => (
              <td key={heading} data-label={heading}>
                <div>{cell(row)}</div>
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

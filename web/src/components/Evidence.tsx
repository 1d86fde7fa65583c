import { useInfiniteQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ProblemMessage } from "./ProblemMessage";
import { Prose } from "./Prose";

interface Page<Row> {
  items: Row[];
  next_cursor?: string | null;
}

interface Props<Row> {
  heading: string;
  /** What it means that there is none. */
  empty: string;
  queryKey: string[];
  load: (cursor: string | null, signal: AbortSignal) => Promise<Page<Row>>;
  children: (rows: Row[]) => ReactNode;
}

/** A heading and all evidence of one kind, page by page. */
export function Evidence<Row>({ heading, empty, queryKey, load, children }: Props<Row>) {
  const pages = useInfiniteQuery({
    queryKey,
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) => load(pageParam, signal),
    getNextPageParam: (page) => page.next_cursor ?? null,
  });
  const rows = pages.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <section>
      <h2>{heading}</h2>
      {pages.isPending && <output className="loading">Loading…</output>}
      {pages.isError && <ProblemMessage error={pages.error} onRetry={() => void pages.refetch()} />}
      {pages.isSuccess && rows.length === 0 && (
        <p className="muted">
          <Prose text={empty} />
        </p>
      )}
      {rows.length > 0 && children(rows)}
      {pages.hasNextPage && (
        <button type="button" disabled={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
          Show more
        </button>
      )}
    </section>
  );
}

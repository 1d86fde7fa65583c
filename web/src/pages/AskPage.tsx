import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { api, unwrap } from "../api/client";
import { Answer } from "../components/Answer";
import { Presets } from "../components/Presets";
import { ProblemMessage } from "../components/ProblemMessage";
import { useTitle } from "../useTitle";

const EXAMPLES = [
  "13B on 24GB, ≤1% loss",
  "llama 3.1 8b on 2x4090, fastest",
  "qwen2.5 on 16GB, 32k context, smallest",
  "70B on 4x4090, 32 users at once, tpot under 100ms",
  "24GB显存跑13B，精度损失不超过1%",
];

/** Apart from the others: without a price file nothing satisfies it. */
const COST_EXAMPLE = "8B on 4090, under $2 per hour";

/** Adds a preset's name to a question, once. */
export function withPreset(text: string, id: string): string {
  const parts = text
    .split(/[,，;；]/)
    .map((part) => part.trim())
    .filter(Boolean);
  if (parts.includes(id)) return text;
  return text.trim() ? `${text.trim().replace(/[,，;；]$/, "")}, ${id}` : id;
}

/** One box to ask in words; the question is in the URL. */
export function AskPage({ query, onAsk }: { query: string | undefined; onAsk: (text: string) => void }) {
  useTitle(query ?? "");
  const box = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(query ?? "");
  useEffect(() => setText(query ?? ""), [query]);
  const answer = useQuery({
    queryKey: ["recommend", query],
    enabled: Boolean(query),
    queryFn: async ({ signal }) =>
      unwrap(await api.GET("/api/v1/recommend", { params: { query: { q: query ?? "" } }, signal })),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const asked = text.trim();
    if (asked && asked === query) void answer.refetch();
    else if (asked) onAsk(asked);
  };
  const insert = (id: string) => {
    setText(withPreset(text, id));
    box.current?.focus();
  };
  return (
    <>
      <form className="ask" onSubmit={submit}>
        <h1>
          <label htmlFor="question">What must run, on what, and how good must it stay?</label>
        </h1>
        <div className="ask-row">
          <input
            id="question"
            type="search"
            ref={box}
            value={text}
            onChange={(event) => setText(event.target.value)}
            placeholder={EXAMPLES[0]}
            maxLength={2000}
            autoComplete="off"
            spellCheck={false}
          />
          <button type="submit" disabled={!text.trim()}>
            Ask
          </button>
        </div>
        <Presets open={!query} onInsert={insert} />
      </form>
      {!query && (
        <section className="examples">
          <h2>For example</h2>
          <ul>
            {EXAMPLES.map((example) => (
              <li key={example}>
                <button type="button" className="link" onClick={() => onAsk(example)}>
                  {example}
                </button>
              </li>
            ))}
          </ul>
          <p className="muted">
            Name a model, size or family; hardware by memory or by name; limits on loss, latency, throughput,
            context, disk or cost; and what matters most. Cost, as in{" "}
            <button type="button" className="link" onClick={() => onAsk(COST_EXAMPLE)}>
              {COST_EXAMPLE}
            </button>
            , is known for devices in the price file that the server was started with. Every answer shows what
            was understood and the evidence it stands on.
          </p>
        </section>
      )}
      {answer.isFetching && <output className="loading">Planning…</output>}
      {answer.isError && !answer.isFetching && (
        <ProblemMessage error={answer.error} onAsk={onAsk} onRetry={() => void answer.refetch()} />
      )}
      {answer.data && <Answer plan={answer.data} />}
    </>
  );
}

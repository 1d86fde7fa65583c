import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { api, unwrap } from "../api/client";
import { Answer } from "../components/Answer";
import { ProblemMessage } from "../components/ProblemMessage";

const EXAMPLES = [
  "13B on 24GB, ≤1% loss",
  "llama 3.1 8b on 2x4090, fastest",
  "qwen2.5 on 16GB, 32k context, smallest",
  "24GB显存跑13B，精度损失不超过1%",
];

/** One box to ask in words; the question is in the URL. */
export function AskPage({ query, onAsk }: { query: string | undefined; onAsk: (text: string) => void }) {
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
    onAsk(text.trim());
  };
  return (
    <>
      <form className="ask" onSubmit={submit}>
        <label htmlFor="question">What must run, on what, and how good must it stay?</label>
        <div className="ask-row">
          <input
            id="question"
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
            context or disk; and what matters most. Every answer shows what was understood and the evidence it
            stands on.
          </p>
        </section>
      )}
      {query && answer.isPending && <output className="muted">Planning…</output>}
      {answer.isError && <ProblemMessage error={answer.error} />}
      {answer.data && <Answer plan={answer.data} />}
    </>
  );
}

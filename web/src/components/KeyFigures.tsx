import type { ReactNode } from "react";
import type { Candidate, Figure, LossAnswer } from "../api/types";
import { FigureText } from "./FigureText";

function lossWords(loss: LossAnswer): string {
  if (loss.metric === "definition") return "by definition: this is the baseline itself";
  const where = loss.tasks.length > 2 ? `over ${loss.tasks.length} tasks` : loss.tasks.join(" and ");
  const items = loss.items ? `, ${loss.items.toLocaleString("en")} items` : "";
  return `${loss.metric}${where ? ` · ${where}` : ""}${items}`;
}

function Tile({
  label,
  figure,
  currency,
  children,
}: {
  label: string;
  figure: Figure | null | undefined;
  currency?: string;
  children?: ReactNode;
}) {
  return (
    <div className="tile">
      <dt>{label}</dt>
      <dd>
        <FigureText figure={figure} full currency={currency} />
        {children}
      </dd>
    </div>
  );
}

/** How fast it is, quantity by quantity; one tile says so when nothing is known. */
function Speed({ latency }: { latency: Candidate["latency"] }) {
  const { ttft, tpot, throughput } = latency ?? {};
  if (!ttft && !tpot && !throughput) return <Tile label="TTFT, TPOT and throughput" figure={null} />;
  const quantile = latency?.quantile ?? "p50";
  return (
    <>
      <Tile label={`TTFT ${quantile}`} figure={ttft} />
      <Tile label={`TPOT ${quantile}`} figure={tpot} />
      <Tile
        label={latency?.runtime ? `Throughput under ${latency.runtime}` : "Throughput"}
        figure={throughput}
      />
    </>
  );
}

/** What it costs by the server's price file; nothing where the hardware has no price. */
function Cost({ cost }: { cost: Candidate["cost"] }) {
  if (!cost) return null;
  const { currency, per_hour, per_million_tokens, price } = cost;
  return (
    <>
      <Tile label="Cost" figure={per_hour} currency={currency}>
        <div className="muted">
          {[price.source, price.date].filter(Boolean).join(", ") || "a price in the question"}
        </div>
      </Tile>
      <Tile label="Cost of generated tokens" figure={per_million_tokens} currency={currency} />
    </>
  );
}

/** What the chosen variant loses, how fast it is, and what it takes. */
export function KeyFigures({ candidate: { loss, latency, cost, energy, disk } }: { candidate: Candidate }) {
  const kind = loss?.kind === "absolute" ? "Absolute loss" : "Relative loss";
  return (
    <dl className="tiles">
      <Tile label={loss ? kind : "Loss"} figure={loss?.figure}>
        {loss && (
          <div className="muted" title={loss.tasks.join(", ")}>
            {lossWords(loss)}
          </div>
        )}
        {loss?.verdict && <span className={`verdict verdict-${loss.verdict}`}>{loss.verdict}</span>}
        {loss?.items_to_settle && (
          <div className="muted">
            about {loss.items_to_settle.toLocaleString("en")} more items would decide
          </div>
        )}
      </Tile>
      <Speed latency={latency} />
      <Cost cost={cost} />
      {energy && <Tile label="Energy per generated token, at most" figure={energy} />}
      {disk && (
        <Tile label="On disk" figure={disk}>
          {disk.note && <div className="muted">{disk.note}</div>}
        </Tile>
      )}
    </dl>
  );
}

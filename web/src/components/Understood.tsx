import type { Effective } from "../api/types";

/** Every effective constraint, and whether it was asked, came from a preset, or is a default. */
export function Understood({ rows }: { rows: Effective[] }) {
  return (
    <section className="understood" aria-label="Understood">
      <span className="muted">Understood</span>
      <ul className="chips">
        {rows.map((row) => (
          <li key={row.key} className={`chip origin-${row.origin}`}>
            {row.sentence} <span className="origin">{row.origin}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

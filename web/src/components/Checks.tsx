import type { Check } from "../api/types";
import { type Column, DataTable } from "./DataTable";
import { FigureText } from "./FigureText";
import { Prose } from "./Prose";

const COLUMNS: Column<Check>[] = [
  { heading: "Constraint", cell: (check) => check.asked },
  { heading: "Figure", cell: (check) => check.figure && <FigureText figure={check.figure} /> },
  {
    heading: "Verdict",
    cell: (check) => <span className={`verdict verdict-${check.verdict}`}>{check.verdict}</span>,
  },
  { heading: "Why", cell: (check) => check.detail && <Prose text={check.detail} /> },
];

/** Each constraint, the figure it was held against, and the verdict. */
export function Checks({ checks }: { checks: Check[] }) {
  return (
    <DataTable
      caption="Each constraint, the figure it was held against, and the verdict"
      columns={COLUMNS}
      rows={checks}
      rowKey={(check) => `${check.key}:${check.asked}`}
    />
  );
}

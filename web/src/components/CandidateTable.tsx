import type { Candidate } from "../api/types";
import { type Column, DataTable } from "./DataTable";
import { FigureText } from "./FigureText";
import { VariantLink } from "./VariantLink";

const columnsFor = (devices: number): Column<Candidate>[] => [
  { heading: "Variant", cell: (c) => <VariantLink id={c.variant_id}>{c.name}</VariantLink> },
  { heading: "Scheme", cell: (c) => c.scheme },
  {
    heading: devices > 1 ? "Memory of each" : "Peak memory",
    cell: (c) => <FigureText figure={c.memory.total} />,
  },
  { heading: "Loss", cell: (c) => <FigureText figure={c.loss?.figure} /> },
  { heading: "TPOT", cell: (c) => <FigureText figure={c.latency?.tpot} /> },
];

const COST: Column<Candidate> = {
  heading: "Cost",
  cell: ({ cost }) => <FigureText figure={cost?.per_hour} currency={cost?.currency} />,
};

const MISSES: Column<Candidate> = {
  heading: "Not satisfied",
  cell: (c) =>
    (c.checks ?? [])
      .filter((check) => !["met", "certified", "likely"].includes(check.verdict))
      .map((check) => check.asked)
      .join("; "),
};

interface Props {
  candidates: Candidate[];
  caption: string;
  /** Say which constraints each one does not satisfy. */
  misses?: boolean;
}

/** Candidates side by side. */
export function CandidateTable({ candidates, caption, misses = false }: Props) {
  const columns = columnsFor(Math.max(1, ...candidates.map((c) => c.memory.devices ?? 1)));
  return (
    <DataTable
      caption={caption}
      columns={[...columns, ...(candidates.some((c) => c.cost) ? [COST] : []), ...(misses ? [MISSES] : [])]}
      rows={candidates}
      rowKey={(c) => c.variant_id}
    />
  );
}

import type { Candidate } from "../api/types";
import { FigureText } from "./FigureText";

/** Candidates side by side. */
export function CandidateTable({ candidates, caption }: { candidates: Candidate[]; caption: string }) {
  return (
    <div className="scroll">
      <table>
        <caption className="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            <th scope="col">Variant</th>
            <th scope="col">Scheme</th>
            <th scope="col">Peak memory</th>
            <th scope="col">Loss</th>
            <th scope="col">TPOT</th>
          </tr>
        </thead>
        <tbody>
          {candidates.map((c) => (
            <tr key={c.variant_id}>
              <td title={c.variant_id}>{c.name}</td>
              <td>{c.scheme}</td>
              <td>
                <FigureText figure={c.memory.total} />
              </td>
              <td>
                <FigureText figure={c.loss?.figure} />
              </td>
              <td>
                <FigureText figure={c.latency?.tpot} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

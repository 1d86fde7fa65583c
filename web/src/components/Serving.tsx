import type { Serving as Served } from "../api/types";
import { formatRatio, significant } from "../format";
import { FigureText } from "./FigureText";

/** What the request rate that was asked for needs; nothing when none was. */
export function Serving({ serving }: { serving: Served | null | undefined }) {
  if (!serving) return null;
  const { requests_per_second, replicas, available, utilization, headroom, wait_probability } = serving;
  return (
    <>
      <h3>For {significant(requests_per_second)} requests per second</h3>
      <dl className="facts">
        <dt>Replicas</dt>
        <dd>
          {replicas} needed, the hardware holds {available}
        </dd>
        <dt>Busy</dt>
        <dd>
          {formatRatio(utilization)} of all slots, at most {formatRatio(headroom)} wanted
        </dd>
        <dt>A request waits</dt>
        <dd>
          with probability {significant(wait_probability)}, <FigureText figure={serving.mean_wait} /> on
          average
        </dd>
      </dl>
    </>
  );
}

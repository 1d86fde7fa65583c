import { api, unwrap } from "../api/client";
import type { Distribution, Profile, ProfilePoint } from "../api/types";
import { formatBytes, formatSeconds, significant } from "../format";
import { type Column, DataTable } from "./DataTable";
import { Evidence } from "./Evidence";
import { Source } from "./Source";

const perSecond = (value: number) => `${significant(value)} tokens/s`;

function peakBytes({ memory }: ProfilePoint): number | undefined {
  return memory?.peak_device_bytes ?? memory?.peak_allocated_bytes ?? memory?.peak_rss_bytes ?? undefined;
}

/** The median where the samples give one, else the mean; which of the two it is stands beside it. */
function Middle({ of, format }: { of: Distribution | null | undefined; format: (value: number) => string }) {
  if (!of) return <span className="muted">unknown</span>;
  const { p50, p50_interval: spread, mean, samples } = of;
  return (
    <span className="figure">
      <span className="value">{format(p50 ?? mean)}</span>{" "}
      {p50 != null && spread && (
        <span className="interval">
          [{format(spread.lo)}, {format(spread.hi)}]
        </span>
      )}{" "}
      <span className="interval">
        {p50 != null ? "p50" : "mean"}
        {samples > 1 && ` of ${samples.toLocaleString("en")}`}
      </span>
    </span>
  );
}

/** Figures of a workload point; a column stands only where some point has one. */
const FIGURES: (Column<ProfilePoint> & { known: (point: ProfilePoint) => unknown })[] = [
  {
    heading: "TTFT",
    known: (point) => point.ttft_seconds,
    cell: (point) => <Middle of={point.ttft_seconds} format={formatSeconds} />,
  },
  {
    heading: "TPOT",
    known: (point) => point.tpot_seconds,
    cell: (point) => <Middle of={point.tpot_seconds} format={formatSeconds} />,
  },
  {
    heading: "ITL",
    known: (point) => point.itl_seconds,
    cell: (point) => <Middle of={point.itl_seconds} format={formatSeconds} />,
  },
  {
    heading: "End to end",
    known: (point) => point.end_to_end_seconds,
    cell: (point) => <Middle of={point.end_to_end_seconds} format={formatSeconds} />,
  },
  {
    heading: "Throughput",
    known: (point) => point.output_tokens_per_second,
    cell: (point) => <Middle of={point.output_tokens_per_second} format={perSecond} />,
  },
  {
    heading: "Peak memory",
    known: peakBytes,
    cell: (point) => {
      const peak = peakBytes(point);
      return peak === undefined ? <span className="muted">unknown</span> : formatBytes(peak);
    },
  },
];

const WORKLOAD: Column<ProfilePoint> = {
  heading: "Workload",
  cell: ({ workload: { input_tokens = 1024, output_tokens = 256, concurrency = 1 } }) =>
    `${input_tokens.toLocaleString("en")} in, ${output_tokens.toLocaleString("en")} out, concurrency ${concurrency}`,
};

export interface Series {
  title: string;
  first: Profile;
  points: ProfilePoint[];
}

/** Profiles that differ in nothing but the workload, as one series. */
export function seriesOf(profiles: Profile[]): Series[] {
  const found = new Map<string, Series>();
  for (const profile of profiles) {
    const { devices = 1, device_id, runtime, basis, citation, protocol, doubt } = profile;
    const under = [runtime.name, runtime.version, runtime.mode].filter(Boolean).join(" ");
    const title = `${devices > 1 ? `${devices} × ` : ""}${device_id} under ${under}`;
    const key = JSON.stringify([title, basis, citation, protocol, doubt]);
    const series = found.get(key) ?? { title, first: profile, points: [] };
    series.points.push(...profile.points);
    found.set(key, series);
  }
  return [...found.values()];
}

function SeriesTable({ series: { title, first, points } }: { series: Series }) {
  const columns = [WORKLOAD, ...FIGURES.filter(({ known }) => points.some((point) => known(point) != null))];
  return (
    <section className="series">
      <h3>
        {title} <span className={`basis basis-${first.basis}`}>{first.basis}</span>
      </h3>
      <Source citation={first.citation} protocol={first.protocol} doubt={first.doubt} />
      <DataTable
        caption={title}
        columns={columns}
        rows={points}
        rowKey={(point) => `${points.indexOf(point)}`}
      />
    </section>
  );
}

/** Speed and memory of a variant, a table for each device and runtime. */
export function Profiles({ variant }: { variant: string }) {
  return (
    <Evidence
      heading="Speed and memory"
      empty="No evidence of its speed."
      queryKey={["profiles", variant]}
      load={async (cursor, signal) =>
        unwrap(await api.GET("/api/v1/profiles", { params: { query: { variant, cursor } }, signal }))
      }
    >
      {(profiles: Profile[]) =>
        seriesOf(profiles).map((series) => <SeriesTable key={series.first.id} series={series} />)
      }
    </Evidence>
  );
}

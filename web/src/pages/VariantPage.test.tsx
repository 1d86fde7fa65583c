import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import type { Profile } from "../api/types";
import { seriesOf } from "../components/Profiles";
import { sourcesOf } from "../components/Source";
import { schemeWords } from "../components/VariantFacts";
import { serve, visit } from "../test-render";

const ID = `sha256:${"a".repeat(64)}`;
const VARIANT = {
  id: ID,
  model_id: "llama-2-13b",
  name: "int8",
  scheme: { weight: { format: "int8" }, method: "rtn" },
  file_format: "safetensors",
  weight_bytes: { value: 13.4 * 1024 ** 3, unit: "bytes", basis: "measured" },
  artifacts: [
    { path: "config.json", size: 700, sha256: "b".repeat(64) },
    { path: "model.safetensors", size: 13 * 1024 ** 3, sha256: "c".repeat(64) },
  ],
  provenance: {
    base_variant_id: "published:llama-2-13b/fp16",
    citation: "A table, https://example.org/t (2025-01-02)",
  },
};
const evaluation = (task: string) => ({
  id: task,
  variant_id: ID,
  task,
  metric: "accuracy",
  higher_is_better: true,
  basis: "measured",
  baseline_score: 0.5,
  variant_score: 0.49,
  relative_loss: {
    value: 0.02,
    unit: "ratio",
    basis: "measured",
    interval: { lo: 0.01, hi: 0.03, confidence: 0.9 },
  },
  items: 1000,
  doubt: task === "MMLU" ? "few-shot prompt not stated" : null,
});
const PROFILE = {
  id: "p",
  variant_id: ID,
  device_id: "rtx-4090",
  devices: 2,
  runtime: { name: "vllm", version: "0.9" },
  basis: "published",
  points: [
    {
      workload: { input_tokens: 1024, output_tokens: 256, concurrency: 1 },
      tpot_seconds: {
        samples: 20,
        mean: 0.02,
        p50: 0.019,
        p50_interval: { lo: 0.018, hi: 0.021, confidence: 0.95 },
      },
      memory: { peak_device_bytes: 14 * 1024 ** 3 },
    },
    {
      workload: { input_tokens: 8, output_tokens: 8, concurrency: 4 },
      ttft_seconds: { samples: 1, mean: 0.5 },
    },
  ],
};

describe("VariantPage", () => {
  it("shows facts, files, evaluations and profiles, and pages through the evidence", async () => {
    const seen = serve({
      [`/api/v1/variants/${ID}`]: VARIANT,
      "/api/v1/evaluations": { items: [evaluation("MMLU"), evaluation("GSM8K")], next_cursor: "n" },
      "/api/v1/profiles": { items: [PROFILE] },
    });
    await visit(`/variants/${ID}`);
    expect(await screen.findByRole("heading", { level: 1, name: "int8" })).toBeVisible();
    expect(screen.getByText(/planner fetch sha256:a+ \.\/int8/)).toBeVisible();
    expect(screen.getByRole("link", { name: "llama-2-13b" })).toHaveAttribute(
      "href",
      "/variants?model=llama-2-13b",
    );
    expect(screen.getByRole("link", { name: "A table (2025-01-02)" })).toHaveAttribute(
      "href",
      "https://example.org/t",
    );
    expect(within(screen.getByRole("table", { name: "Files" })).getByText("c".repeat(64))).toBeVisible();
    const evaluations = await screen.findByRole("table", { name: "Evaluations" });
    expect(within(evaluations).getAllByText("[1 %, 3 %]")).toHaveLength(2);
    expect(within(evaluations).getByText("doubted: few-shot prompt not stated")).toBeVisible();
    const profiles = await screen.findByRole("table", { name: "2 × rtx-4090 under vllm 0.9" });
    const headings = within(profiles).getAllByRole("columnheader");
    expect(headings.map((cell) => cell.textContent)).toEqual(["Workload", "TTFT", "TPOT", "Peak memory"]);
    expect(profiles.querySelectorAll("tbody tr")).toHaveLength(2);
    expect(within(profiles).getByText("p50 of 20")).toBeVisible();
    expect(within(profiles).getByText("mean")).toBeVisible();
    expect(within(profiles).getByText("14 GiB")).toBeVisible();
    await userEvent.click(screen.getByRole("button", { name: "Show more" }));
    const queries = seen
      .map((request) => new URL(request.url))
      .filter((url) => url.pathname.endsWith("evaluations"));
    expect(queries.map((url) => [url.searchParams.get("variant"), url.searchParams.get("cursor")])).toEqual([
      [ID, null],
      [ID, "n"],
    ]);
  });

  it("finds published builds, whose ids hold a slash", async () => {
    const id = "published:llama-2-13b/int4-awq";
    serve({
      [`/api/v1/variants/${id}`]: { ...VARIANT, id, artifacts: undefined },
      "/api/v1/evaluations": { items: [] },
      "/api/v1/profiles": { items: [] },
    });
    await visit(`/variants/${id}`);
    expect(await screen.findByText(/files are not in this registry/)).toBeVisible();
    expect(await screen.findByText("No evidence of its loss.")).toBeVisible();
    expect(screen.queryByRole("heading", { name: "Files" })).toBeNull();
  });

  it("says when there is no such variant", async () => {
    serve({
      "/api/v1/variants/x": {
        title: "Not found",
        detail: "no variant `x`",
        status: 404,
        extra: { nearest: ["y"] },
      },
    });
    await visit("/variants/x");
    expect(await screen.findByRole("alert")).toHaveTextContent("Nearest: y");
  });

  it("keeps the sources of a citation apart", () => {
    expect(sourcesOf("A, https://a.example/x (2025); B, https://b.example")).toEqual([
      { name: "A (2025)", address: "https://a.example/x" },
      { name: "B", address: "https://b.example" },
    ]);
    expect(sourcesOf("one; two")).toEqual([{ name: "one; two", address: null }]);
    expect(sourcesOf("javascript:alert(1)")[0]?.address).toBeNull();
  });

  it("puts profiles that differ only in the workload into one series", () => {
    const again = { ...PROFILE, id: "q", points: PROFILE.points.slice(0, 1) };
    const doubted = { ...PROFILE, id: "r", doubt: "which card?" };
    const series = seriesOf([PROFILE, again, doubted] as Profile[]);
    expect(series.map(({ points }) => points.length)).toEqual([3, 2]);
  });

  it("writes schemes in words", () => {
    expect(
      schemeWords({
        weight: { format: "int4", group_size: 128 },
        activation: { format: "fp8" },
        activation_scaling: "dynamic",
        kv: { format: "int8" },
        mixed: true,
      }),
    ).toBe(
      "int4 in groups of 128 weights, fp8 activations (dynamic), int8 KV cache, some layers in another format",
    );
    expect(schemeWords({ weight: { format: "q4_k" }, label: "q4_k_m" })).toBe("q4_k_m: q4_k weights");
  });
});

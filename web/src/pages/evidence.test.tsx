/** What the server learnt of a variant, and how it is put: states, gates, runs, signatures, jobs, costs. */

import { screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Candidate, GateReport, Job, Plan, Recommended } from "../api/types";
import { Answer } from "../components/Answer";
import { FigureText } from "../components/FigureText";
import { missing } from "../components/Gates";
import { JobSubject } from "../components/JobSubject";
import { Placements } from "../components/Placements";
import recommended from "../fixtures/recommended.json";
import { serve, show, visit } from "../test-render";

const ID = `sha256:${"a".repeat(64)}`;
const NEW = `sha256:${"b".repeat(64)}`;
const VARIANT = {
  id: ID,
  model_id: "llama",
  name: "int8",
  scheme: { weight: { format: "int8" } },
  file_format: "safetensors",
  weight_bytes: { value: 1024, unit: "bytes", basis: "measured" },
  artifacts: [{ path: "model.safetensors", size: 1024, sha256: "c".repeat(64) }],
  provenance: {
    settings: { bits: 8, layers: ["a"] },
    build_seconds: 90,
    build_peak_bytes: 1024 ** 3,
    needs: ["cc>=8.9"],
  },
};
const NONE = { items: [], next_cursor: null };
const REGISTRY = {
  [`/api/v1/variants/${ID}`]: VARIANT,
  [`/api/v1/variants/${NEW}`]: { ...VARIANT, id: NEW, name: "int8-v2" },
  [`/api/v1/states/${ID}`]: { current: { variant_id: ID }, history: [] },
  "/api/v1/evaluations": NONE,
  "/api/v1/profiles": NONE,
  "/api/v1/gates": NONE,
  "/api/v1/registrations": NONE,
  "/api/v1/signatures": { variant_id: ID, signatures: [] },
  "/api/v1/downloads": NONE,
  "/api/v1/aliases": NONE,
};
const run = (run_url: string) => ({
  variant_id: ID,
  token_id: "t",
  actor: "repo:acme/models",
  registered_at: "2026-01-31T09:30:00Z",
  created: true,
  origin: { issuer: "https://issuer.example", subject: "s", workflow: "build.yml", run_url },
});

describe("a variant's page", () => {
  it("is quiet where nothing happened", async () => {
    serve(REGISTRY);
    await visit(`/variants/${ID}`);
    expect(await screen.findByText(/No gate has judged it/)).toBeVisible();
    expect(await screen.findByText(/Nobody has signed it/)).toBeVisible();
    expect(screen.queryByRole("region", { name: "State" })).toBeNull();
    expect(screen.queryByRole("list", { name: "Aliases" })).toBeNull();
    expect(screen.getByText('bits 8, layers ["a"]')).toBeVisible();
    expect(screen.getByText("90 s, 1 GiB at its peak")).toBeVisible();
    expect(screen.getByText("cc>=8.9")).toBeVisible();
  });

  it("says what it was withdrawn for and what replaces it, and gives no command to fetch it", async () => {
    const state = {
      variant_id: ID,
      state: "quarantined",
      reason: "wrong `tokenizer`",
      replacement_id: NEW,
      actor: "ops",
      changed_at: "2026-01-31T09:30:00Z",
      number: 2,
    };
    const before = { ...state, number: 1, state: "active", reason: "measured again" };
    serve({ ...REGISTRY, [`/api/v1/states/${ID}`]: { current: state, history: [state, before] } });
    await visit(`/variants/${ID}`);
    const region = await screen.findByRole("region", { name: "State" });
    expect(region).toHaveTextContent("Quarantined: wrong tokenizer");
    expect(region).toHaveTextContent("Neither recommended nor handed out. Set 2026-01-31 09:30 UTC by ops.");
    const [link] = await within(region).findAllByRole("link", { name: "llama/int8-v2" });
    expect(link).toHaveAttribute("href", `/variants/${NEW}`);
    expect(within(region).getByText("2 changes of state")).toBeVisible();
    expect(screen.queryByText(/planner fetch/)).toBeNull();
  });

  it("links to a run only where a browser may safely go", async () => {
    const hostile = { ...run("javascript:alert(1)"), token_id: "u" };
    serve({
      ...REGISTRY,
      "/api/v1/registrations": { items: [run("https://ci.example/1"), hostile], next_cursor: null },
    });
    await visit(`/variants/${ID}`);
    const table = await screen.findByRole("table", { name: "Registrations" });
    const links = within(table).getAllByRole("link");
    expect(links.map((link) => link.getAttribute("href"))).toEqual(["https://ci.example/1"]);
  });

  it("names the aliases that point at it, from every page of them", async () => {
    const alias = (name: string, variant_id: string) => ({
      name,
      variant_id,
      number: 1,
      protected: name === "prod",
    });
    serve({
      ...REGISTRY,
      "/api/v1/aliases": (request: Request) =>
        new URL(request.url).searchParams.get("cursor")
          ? { items: [alias("prod", ID)], next_cursor: null }
          : { items: [alias("other", NEW), alias("beta", ID)], next_cursor: "more" },
    });
    await visit(`/variants/${ID}`);
    const list = await screen.findByRole("list", { name: "Aliases" });
    expect(
      within(list)
        .getAllByRole("listitem")
        .map((item) => item.textContent),
    ).toEqual(["beta", "prod protected"]);
  });
});

it("says of a gate what is missing beyond its own sentence", () => {
  const check = (name: string, state: string, more: number | null, reason: string) =>
    ({ kind: "task", name, rule: "", state, more, reason }) as GateReport["checks"][number];
  const report = {
    sentence: "maths: too much is lost",
    checks: [
      check("maths", "fail", null, "too much is lost"),
      check("code", "inconclusive", 1200, "undecided"),
      check("law", "missing", null, "no evidence"),
      check("art", "pass", null, "fine"),
    ],
  } as GateReport;
  expect(missing(report)).toEqual(["code: about 1,200 more would decide", "law: missing"]);
  expect(missing({ ...report, sentence: "code: undecided; law: no evidence" })).toEqual([]);
});

describe("a job", () => {
  const job = (kind: Job["kind"], spec: Job["spec"]) =>
    ({ id: "1", kind, spec, requires: ["vram>=24GiB"] }) as Job;

  it("names what it is about, whatever its description looks like", async () => {
    const { unmount } = await show(
      <JobSubject job={job("measure", { variant: { from: "registry", variant: "llama/int8" } })} />,
    );
    expect(screen.getByRole("link", { name: "llama/int8" })).toHaveAttribute("href", "/variants/llama/int8");
    expect(screen.getByText("needs vram>=24GiB")).toBeVisible();
    unmount();
    const built = await show(
      <JobSubject job={job("build", { base: { from: "reference" }, name: "int4" })} />,
    );
    expect(screen.getByText("int4")).toBeVisible();
    expect(screen.getByText(/reference/, { selector: "div" })).toBeVisible();
    built.unmount();
    await show(<JobSubject job={job("evaluate", { variant: 7 })} />);
    expect(screen.getByText("Description")).toBeVisible();
  });
});

describe("an answer", () => {
  it("shows cost, energy, replicas and every placement", async () => {
    serve({});
    const plan = recommended as unknown as Plan & { result: Recommended };
    const chosen: Candidate = {
      ...plan.result.chosen,
      cost: {
        currency: "USD",
        per_hour: { value: 0.78, unit: "per hour", basis: "published" },
        per_million_tokens: null,
        price: { per_hour: 0.39, currency: "USD", date: "2026-10-01", source: "our contract" },
      },
      energy: { value: 3.93, unit: "joules", basis: "modelled" },
      serving: {
        requests_per_second: 5,
        replicas: 2,
        available: 4,
        utilization: 0.5,
        headroom: 0.8,
        wait_probability: 0.03,
        mean_wait: { value: 0.02, unit: "seconds", basis: "modelled" },
      },
    };
    const placements = [
      { tensor_parallel: 2, replicas: 2, chosen: true },
      { replicas: 4, fit_probability: 0.4 },
    ];
    await show(<Answer plan={{ ...plan, result: { ...plan.result, chosen, placements } }} />);
    expect(screen.getByText("USD 0.78")).toBeVisible();
    expect(screen.getByText("our contract, 2026-10-01")).toBeVisible();
    expect(screen.getByText("3.93 J")).toBeVisible();
    expect(screen.getByText("2 needed, the hardware holds 4")).toBeVisible();
    expect(screen.getByText("2 ways to place it on the hardware")).toBeVisible();
  });

  it("leaves placements out where there is one, and says what was not checked", async () => {
    await show(<Placements rows={[{}]} />);
    expect(screen.queryByRole("table")).toBeNull();
    await show(<FigureText figure={{ value: 12.5, unit: "per hour", basis: "published" }} currency="EUR" />);
    expect(screen.getByText("EUR 12.5")).toBeVisible();
  });
});

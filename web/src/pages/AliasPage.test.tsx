import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it } from "vitest";
import { momentOf } from "../components/AliasOn";
import { serve, visit } from "../test-render";

const OLD = `sha256:${"a".repeat(64)}`;
const NOW = `sha256:${"b".repeat(64)}`;
const NEXT = `sha256:${"c".repeat(64)}`;
const variant = (id: string, name: string) => ({ id, model_id: "llama", name });
const alias = { name: "prod", number: 2, actor: "ci", moved_at: "2026-11-02T10:00:00Z", protected: false };
const moves = [
  { ...alias, variant_id: NOW, previous_variant_id: OLD },
  { ...alias, number: 1, variant_id: OLD, moved_at: "2026-10-02T10:00:00Z" },
];
const state = (variant_id: string, more = {}) => ({ current: { variant_id, ...more }, history: [] });

const REGISTRY = {
  [`/api/v1/variants/${OLD}`]: variant(OLD, "old"),
  [`/api/v1/variants/${NOW}`]: variant(NOW, "now"),
  [`/api/v1/variants/${NEXT}`]: variant(NEXT, "next"),
  "/api/v1/variants/next": variant(NEXT, "next"),
  [`/api/v1/states/${NOW}`]: state(NOW, { state: "deprecated", reason: "slow" }),
  [`/api/v1/states/${NEXT}`]: state(NEXT),
  "/api/v1/aliases/prod/moves": { items: moves, next_cursor: null },
};

let current = NOW;
const ALIAS = {
  ...REGISTRY,
  "GET /api/v1/aliases/prod": () => ({ alias: { ...alias, variant_id: current }, moves }),
};

describe("AliasPage", () => {
  beforeEach(() => {
    current = NOW;
  });

  it("moves in two steps, by compare-and-swap on what it shows", async () => {
    const seen = serve({
      ...ALIAS,
      "PUT /api/v1/aliases/prod": () => {
        current = NEXT;
        return { ...alias, number: 3, variant_id: NEXT };
      },
    });
    await visit("/aliases/prod");
    expect(await screen.findByText("deprecated")).toBeVisible();
    await userEvent.type(await screen.findByLabelText("Variant it shall point at"), "next{Enter}");
    const confirm = await screen.findByRole("region", { name: "Confirm the move" });
    await waitFor(() => expect(confirm).toHaveTextContent("prod moves from llama/now to llama/next."));
    expect(seen.filter(({ method }) => method === "PUT")).toHaveLength(0);
    await userEvent.click(within(confirm).getByRole("button", { name: "Move prod" }));
    expect(await screen.findByRole("status")).toHaveTextContent("prod points at llama/next.");
    const put = seen.find(({ method }) => method === "PUT");
    expect(await put?.json()).toEqual({ variant: NEXT, expected: NOW, actor: "dashboard" });
  });

  it("says what it points at now when somebody else was quicker", async () => {
    serve({
      ...ALIAS,
      "PUT /api/v1/aliases/prod": () => {
        current = OLD;
        const detail = `alias \`prod\` points at \`${OLD}\`, it was expected at \`${NOW}\``;
        return {
          title: "Conflict",
          status: 409,
          code: "conflict",
          detail,
          extra: { current: OLD, expected: NOW },
        };
      },
    });
    await visit("/aliases/prod");
    await userEvent.type(await screen.findByLabelText("Variant it shall point at"), "next{Enter}");
    await userEvent.click(await screen.findByRole("button", { name: "Move prod" }));
    await waitFor(() => expect(screen.getByRole("alert")).toHaveTextContent("It points at llama/old now."));
    // The next try starts from what is: the page was loaded again.
    const confirm = screen.getByRole("region", { name: "Confirm the move" });
    await waitFor(() => expect(confirm).toHaveTextContent("moves from llama/old to llama/next"));
  });

  it("rolls back from where it is shown, and protects", async () => {
    const seen = serve({
      ...ALIAS,
      "/api/v1/aliases/prod/rollback": { ...alias, number: 3, variant_id: OLD },
      "/api/v1/aliases/prod/protection": { ...alias, variant_id: NOW, protected: true },
    });
    await visit("/aliases/prod");
    await userEvent.click(await screen.findByRole("button", { name: "Roll back" }));
    await userEvent.click(screen.getByRole("button", { name: "Protect prod" }));
    await waitFor(() => expect(seen.filter(({ method }) => method !== "GET")).toHaveLength(2));
    const [back, protect] = seen.filter(({ method }) => method !== "GET");
    expect(await back?.json()).toEqual({ expected: NOW, actor: "dashboard" });
    expect(await protect?.json()).toEqual({ protected: true });
  });

  it("answers what it pointed at on a date that is in the URL", async () => {
    const seen = serve({
      ...ALIAS,
      "/api/v1/aliases/prod/history": {
        name: "prod",
        at: "2026-10-05T00:00:00Z",
        variant_id: OLD,
        move: moves[1],
      },
    });
    await visit("/aliases/prod?at=2026-10-05T00:00");
    expect(await screen.findByText(/it pointed at/)).toHaveTextContent(
      "2026-10-05 00:00 UTC it pointed at llama/old",
    );
    const asked = seen.find(({ url }) => url.includes("/history"));
    expect(new URL(asked?.url ?? "").searchParams.get("at")).toBe("2026-10-05T00:00:00Z");
  });

  it("shows the history of an alias that was deleted", async () => {
    serve({
      ...REGISTRY,
      "/api/v1/aliases/prod": { title: "Not found", status: 404, detail: "no alias `prod`" },
    });
    await visit("/aliases/prod");
    expect(await screen.findByText(/There is no alias/)).toBeVisible();
    expect(await screen.findByRole("table", { name: "Moves" })).toBeVisible();
    expect(screen.queryByRole("button", { name: "Roll back" })).toBeNull();
  });

  it("says that there never was such an alias", async () => {
    const absent = { title: "Not found", status: 404, detail: "no alias `prod`" };
    serve({ ...REGISTRY, "/api/v1/aliases/prod": absent, "/api/v1/aliases/prod/moves": absent });
    await visit("/aliases/prod");
    expect(await screen.findByText(/There is no alias/)).toBeVisible();
    expect(await screen.findByText("It was never made.")).toBeVisible();
    expect(screen.queryByRole("alert")).toBeNull();
  });

  it("offers no move to those who may not make it, and says what is missing", async () => {
    serve({ ...ALIAS, "/api/v1/whoami": { auth: "writes", name: "anonymous", may: ["read"] } });
    await visit("/aliases/prod");
    expect(await screen.findByText(/To move it or roll it back/)).toHaveTextContent("promote");
    expect(screen.getByText(/To protect it/)).toHaveTextContent("admin");
    expect(screen.queryByRole("button", { name: "Roll back" })).toBeNull();
  });
});

describe("AliasesPage", () => {
  it("says what an alias is when there is none, and makes one that must not exist yet", async () => {
    const seen = serve({
      ...ALIAS,
      "/api/v1/aliases": { items: [], next_cursor: null },
      "PUT /api/v1/aliases/prod": { ...alias, variant_id: NEXT },
    });
    const { router } = await visit("/aliases");
    expect(await screen.findByText(/There is no alias yet/)).toBeVisible();
    await userEvent.click(screen.getByText("New alias"));
    await userEvent.type(screen.getByLabelText("Name"), "prod");
    await userEvent.type(screen.getByLabelText("Variant it shall point at"), "next{Enter}");
    await userEvent.click(await screen.findByRole("button", { name: "Make prod" }));
    await waitFor(() => expect(router.state.location.pathname).toBe("/aliases/prod"));
    const put = seen.find(({ method }) => method === "PUT");
    expect(await put?.json()).toEqual({ variant: NEXT, expected: null, actor: "dashboard" });
  });
});

it("reads a date field as UTC, with or without seconds", () => {
  expect(momentOf("2026-11-01T00:00")).toBe("2026-11-01T00:00:00Z");
  expect(momentOf("2026-11-01T00:00:30")).toBe("2026-11-01T00:00:30Z");
});

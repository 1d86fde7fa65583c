import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import { misunderstood, recommended } from "../fixtures";
import { serve, visit } from "../test-render";
import { withPreset } from "./AskPage";

const PRESETS = [
  { id: "high-stakes", name: "High-stakes decisions", description: "Only certified loss.", workload: {} },
];

describe("AskPage", () => {
  it("asks what was typed, keeps it in the URL and goes back", async () => {
    const seen = serve({ "/api/v1/presets": PRESETS, "/api/v1/recommend": recommended });
    const { router } = await visit("/");
    expect(screen.getByRole("button", { name: "Ask" })).toBeDisabled();
    await userEvent.type(screen.getByRole("searchbox"), "  13B on 24GB {Enter}");
    expect(await screen.findByText("Recommended")).toBeVisible();
    expect(router.state.location.search).toEqual({ q: "13B on 24GB" });
    const asked = seen.filter((request) => request.url.includes("/recommend"));
    expect(asked.map((request) => new URL(request.url).searchParams.get("q"))).toEqual(["13B on 24GB"]);
    expect(document.title).toBe("13B on 24GB · Variant Planner");
    router.history.back();
    expect(await screen.findByRole("heading", { name: "For example" })).toBeVisible();
    expect(screen.getByRole("searchbox")).toHaveValue("");
  });

  it("offers a question about cost, and says what it needs", async () => {
    serve({ "/api/v1/recommend": recommended, "/api/v1/presets": [] });
    const { router } = await visit("/");
    expect(await screen.findByText(/is known for devices in the price file/)).toBeVisible();
    await userEvent.click(screen.getByRole("button", { name: "8B on 4090, under $2 per hour" }));
    await waitFor(() => expect(router.state.location.search).toEqual({ q: "8B on 4090, under $2 per hour" }));
  });

  it("answers an address with a question in it", async () => {
    serve({ "/api/v1/presets": [], "/api/v1/recommend": recommended });
    await visit(`/?q=${encodeURIComponent("24GB显存跑13B")}`);
    expect(screen.getByRole("searchbox")).toHaveValue("24GB显存跑13B");
    expect(await screen.findByText("Recommended")).toBeVisible();
  });

  it("keeps a question that looks like a number a text", async () => {
    const seen = serve({ "/api/v1/presets": [], "/api/v1/recommend": recommended });
    await visit("/?q=70");
    expect(screen.getByRole("searchbox")).toHaveValue("70");
    await waitFor(() => expect(seen.some((request) => request.url.endsWith("q=70"))).toBe(true));
  });

  it("puts a preset's name into the question, where its writer goes on", async () => {
    serve({ "/api/v1/presets": PRESETS });
    await visit("/");
    const box = screen.getByRole("searchbox");
    await userEvent.type(box, "13B on 24GB");
    await userEvent.click(await screen.findByRole("button", { name: "High-stakes decisions" }));
    expect(box).toHaveValue("13B on 24GB, high-stakes");
    expect(box).toHaveFocus();
    expect(withPreset("", "rag")).toBe("rag");
    expect(withPreset("8B,", "rag")).toBe("8B, rag");
    expect(withPreset("8B，rag", "rag")).toBe("8B，rag");
  });

  it("asks the corrected question in place of the one not understood", async () => {
    serve({ "/api/v1/presets": [], "/api/v1/recommend": misunderstood });
    const { router } = await visit(`/?q=${encodeURIComponent("13B on 24GB, 1% floss")}`);
    await userEvent.click(await screen.findByRole("button", { name: "13B on 24GB, 1% loss" }));
    await waitFor(() => expect(router.state.location.search).toEqual({ q: "13B on 24GB, 1% loss" }));
  });

  it("works without presets, and says when the server is gone", async () => {
    serve({});
    await visit("/?q=13B");
    expect(await screen.findByRole("alert")).toHaveTextContent("cannot be reached");
    serve({ "/api/v1/recommend": recommended });
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByText("Recommended")).toBeVisible();
  });
});

describe("the router", () => {
  it("says when there is no such page", async () => {
    serve({});
    await visit("/nowhere/at/all");
    expect(screen.getByRole("heading", { name: "No such page" })).toBeVisible();
  });

  it("says when there is no such plan", async () => {
    serve({
      "/api/v1/plans/x": { title: "Not found", detail: "no plan `x`", status: 404, code: "not-found" },
    });
    await visit("/plans/x");
    expect(await screen.findByRole("alert")).toHaveTextContent("no plan x");
  });
});

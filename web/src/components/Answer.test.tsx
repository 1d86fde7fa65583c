import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import type { Elimination } from "../api/types";
import { infeasible, recommended } from "../fixtures";
import { serve, show, visit } from "../test-render";
import { Answer } from "./Answer";
import { groupEliminations } from "./Eliminated";

describe("a recommended answer", () => {
  it("echoes every effective constraint with its origin", async () => {
    await show(<Answer plan={recommended} />);
    const understood = screen.getByRole("region", { name: "Understood" });
    const chips = within(understood).getAllByRole("listitem");
    expect(chips).toHaveLength(recommended.understood.length);
    expect(chips.map((chip) => chip.textContent)).toContain("relative loss ≤ 1 % asked");
    expect(chips.map((chip) => chip.textContent)).toContain("concurrency 1 default");
  });

  it("shows the variant, its figures, reasons, warnings and checks", async () => {
    const { chosen, reasons, warnings, alternatives } = recommended.result;
    const { container } = await show(<Answer plan={recommended} />);
    expect(screen.getByText("Recommended")).toBeVisible();
    const heading = screen.getByRole("heading", { level: 2 });
    expect(within(heading).getByRole("link")).toHaveAttribute(
      "href",
      `/variants/${chosen.variant_id.replace(":", "%3A")}`,
    );
    for (const reason of reasons) expect(screen.getByText(reason)).toBeVisible();
    const warned = screen.getByRole("region", { name: "Warnings" });
    expect(
      within(warned)
        .getAllByRole("listitem")
        .map((row) => row.textContent),
    ).toEqual(warnings);
    expect(screen.getByText("interval unknown")).toBeVisible();
    expect(screen.getByRole("table", { name: /Each constraint/ }).querySelectorAll("tbody tr")).toHaveLength(
      chosen.checks?.length ?? 0,
    );
    const table = screen.getByRole("table", { name: "Alternatives" });
    expect(table.querySelectorAll("tbody tr")).toHaveLength(alternatives.length);
    expect(within(table).getByText("Memory of each")).toBeVisible();
    expect(container.querySelectorAll("rect.memory-weights")).toHaveLength(1);
    expect(screen.getByText("on each of 2 devices")).toBeVisible();
    expect(screen.getByRole("link", { name: `Plan ${recommended.id}` })).toBeVisible();
  });

  it("offers the fetch command where the files are held", async () => {
    const user = userEvent.setup();
    const id = `sha256:${"a".repeat(64)}`;
    const held = { ...recommended.result.chosen, fetchable: true, variant_id: id, name: "int8 wo/1" };
    await show(<Answer plan={{ ...recommended, result: { ...recommended.result, chosen: held } }} />);
    await user.click(screen.getByRole("button", { name: "Copy" }));
    expect(await screen.findByText("Copied")).toBeVisible();
    const command = `planner fetch ${id} ./int8-wo-1 --server ${window.location.origin}`;
    expect(await navigator.clipboard.readText()).toBe(command);
    vi.spyOn(navigator.clipboard, "writeText").mockRejectedValue(new Error("not a secure page"));
    await user.click(screen.getByRole("button", { name: "Copied" }));
    expect(await screen.findByText(/press Ctrl\+C/)).toBeVisible();
    expect(window.getSelection()?.toString()).toBe(command);
  });
});

describe("eliminations", () => {
  const row = (name: string, key: string): Elimination => ({
    variant_id: name,
    model_id: "m",
    name,
    key,
    reason: `because of ${key}`,
  });

  it("are folded by reason, other models last", async () => {
    const rows = [row("a", "objective"), row("b", "memory"), row("c", "memory")];
    const groups = groupEliminations(rows, { model: 900, memory: 2, objective: 5 });
    expect(groups.map((group) => [group.key, group.count, group.rows.length])).toEqual([
      ["objective", 5, 1],
      ["memory", 2, 2],
      ["model", 900, 0],
    ]);
    await show(<Answer plan={recommended} />);
    const total = Object.values(recommended.result.eliminated).reduce((sum, count) => sum + count, 0);
    expect(screen.getByRole("heading", { name: `Not chosen: ${total}` })).toBeVisible();
    const shown = screen.getAllByText(/of other models|do not fit|lose too much|another is better/);
    expect(shown.at(-1)).toHaveTextContent(`${recommended.result.eliminated.model} of other models`);
  });
});

describe("an infeasible answer", () => {
  it("names the conflict in the question's words, and the nearest misses with what they miss", async () => {
    await show(<Answer plan={infeasible} />);
    expect(screen.getByRole("heading", { name: "Nothing satisfies every constraint" })).toBeVisible();
    expect(screen.getByText(/cannot hold together/)).toHaveTextContent(/and 8 GiB nominal card\./);
    const misses = screen.getByRole("table", { name: "Nearest misses" });
    expect(misses.querySelectorAll("tbody tr")).toHaveLength(infeasible.result.nearest.length);
    expect(within(misses).getAllByText("fits 8 GiB nominal card").length).toBeGreaterThan(0);
  });

  it("plans a relaxation at once and goes to the plan", async () => {
    const seen = serve({
      "/api/v1/recommend": recommended,
      "/api/v1/presets": [],
      [`/api/v1/plans/${infeasible.id}`]: infeasible,
    });
    const { router } = await visit(`/plans/${infeasible.id}`);
    const [first] = infeasible.result.relaxations;
    const name = `Plan with ${first?.after} instead of ${first?.before}`;
    await userEvent.click(await screen.findByRole("button", { name }));
    await waitFor(() => expect(router.state.location.pathname).toBe(`/plans/${recommended.id}`));
    expect(await screen.findByText("Recommended")).toBeVisible();
    const posted = seen.find((request) => request.method === "POST");
    expect(await posted?.json()).toEqual(first?.scenario);
  });
});

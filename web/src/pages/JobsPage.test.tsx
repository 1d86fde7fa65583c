import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import type { Job } from "../api/types";
import { serve, show, visit } from "../test-render";
import { type JobSearch, JobsPage, parseJobSearch } from "./JobsPage";

const ATTEMPT = { number: 1, token: 1, worker: "gpu-1", started_at: "2026-01-31T09:30:00Z" };
const CRASH = {
  reason: "crashed" as const,
  message: "the job was ended by SIGSEGV",
  log_tail: "loading\nSegmentation fault",
};

function job(more: Partial<Job>): Job {
  return {
    id: "job-1",
    kind: "measure",
    spec: {},
    state: "queued",
    attempts: [],
    forgiven: 0,
    max_attempts: 3,
    requires: [],
    ...more,
  };
}

const PARKED = job({
  id: "job-7",
  state: "parked",
  parked_because: "it ended two workers alike: crashed: the job was ended by SIGSEGV",
  attempts: [
    { ...ATTEMPT, failure: CRASH },
    { ...ATTEMPT, number: 2, worker: "gpu-2", failure: CRASH },
  ],
});

async function page(items: Job[], search: JobSearch = {}, answers: Record<string, unknown> = {}) {
  const seen = serve({ "/api/v1/jobs": { items, next_cursor: null }, ...answers });
  const onChange = vi.fn();
  await show(<JobsPage search={search} onChange={onChange} />);
  return { seen, onChange };
}

describe("JobsPage", () => {
  it("shows a parked job with its reason and the log of every attempt", async () => {
    await page([PARKED]);
    const row = (await screen.findByText("job-7", { selector: "div" })).closest("tr") as HTMLElement;
    expect(within(row).getByText("parked: waits for a person")).toBeVisible();
    expect(row).toHaveTextContent("it ended two workers alike: crashed");
    await userEvent.click(within(row).getByText("2 attempts that failed"));
    expect(within(row).getByRole("region", { name: "attempt 2" })).toHaveTextContent("gpu-2");
    expect(within(row).getAllByText(/Segmentation fault/)).toHaveLength(2);
  });

  it("queues a parked job again and asks how it stands now", async () => {
    const { seen } = await page(
      [PARKED],
      {},
      { "/api/v1/jobs/job-7/release": { ...PARKED, state: "queued" } },
    );
    await userEvent.click(await screen.findByRole("button", { name: "Try again job-7" }));
    await vi.waitFor(() => expect(seen.filter(({ method }) => method === "GET")).toHaveLength(2));
    const posts = seen.filter(({ method }) => method === "POST").map(({ url }) => new URL(url).pathname);
    expect(posts).toEqual(["/api/v1/jobs/job-7/release"]);
  });

  it("gives a job up, and shows the server's refusal in its own words", async () => {
    const refusal = { title: "Conflict", detail: "job `job-7` is succeeded already", status: 409 };
    await page([PARKED], {}, { "/api/v1/jobs/job-7/cancel": refusal });
    await userEvent.click(await screen.findByRole("button", { name: "Cancel job-7" }));
    expect(await screen.findByRole("alert")).toHaveTextContent("is succeeded already");
  });

  it("offers no way on for jobs at their end, and none to try again for those that wait", async () => {
    await page([
      job({ id: "a", state: "succeeded" }),
      job({ id: "b", state: "failed", attempts: [{ ...ATTEMPT, failure: CRASH }] }),
      job({
        id: "c",
        state: "queued",
        unmatched: { message: "no worker has vram>=80GiB", requirements: [] },
      }),
      job({ id: "d", state: "leased", attempts: [{ ...ATTEMPT, progress: 0.25, message: "warming up" }] }),
    ]);
    expect(await screen.findByText("no worker has vram>=80GiB")).toBeVisible();
    expect(screen.getByText("25 % warming up")).toBeVisible();
    expect(screen.getByText(/crashed: the job was ended by SIGSEGV/)).toBeVisible();
    expect(screen.queryByRole("button", { name: /Try again/ })).toBeNull();
    expect(screen.getAllByRole("button", { name: /Cancel/ })).toHaveLength(2);
  });

  it("asks for the state and kind in the URL, and changes the URL", async () => {
    const { seen, onChange } = await page([PARKED], { state: "parked", cursor: "c" });
    await screen.findByText("job-7", { selector: "div" });
    const url = new URL(seen[0]?.url ?? "");
    expect([url.searchParams.get("state"), url.searchParams.get("cursor")]).toEqual(["parked", "c"]);
    await userEvent.selectOptions(screen.getByRole("combobox", { name: "Kind" }), "build");
    expect(onChange).toHaveBeenLastCalledWith({ state: "parked", kind: "build" });
    await userEvent.click(screen.getByRole("button", { name: "First page" }));
    expect(onChange).toHaveBeenLastCalledWith({ state: "parked" });
  });

  it("says when there is nothing", async () => {
    const { onChange } = await page([], { state: "parked" });
    await userEvent.click(await screen.findByRole("button", { name: "Show all" }));
    expect(onChange).toHaveBeenLastCalledWith({});
  });

  it("has an address and a place in the menu", async () => {
    const seen = serve({ "/api/v1/jobs": { items: [PARKED], next_cursor: null } });
    await visit("/jobs?state=parked");
    expect(await screen.findByRole("heading", { name: "Jobs" })).toBeVisible();
    expect(screen.getByRole("link", { name: "Jobs" })).toHaveAttribute("href", "/jobs");
    expect(new URL(seen[0]?.url ?? "").searchParams.get("state")).toBe("parked");
  });

  it("reads only known keys from a URL", () => {
    expect(parseJobSearch({ state: "parked", evil: "b", kind: "", cursor: 3 })).toEqual({
      state: "parked",
      cursor: "3",
    });
  });
});

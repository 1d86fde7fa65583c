import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { parseVariantSearch, type VariantSearch, VariantsPage } from "./VariantsPage";

const ROW = {
  variant: {
    id: `sha256:${"a".repeat(64)}`,
    model_id: "llama-2-13b",
    name: "int8",
    scheme: { weight: { format: "int8" } },
    file_format: "safetensors",
    weight_bytes: { value: 13.4 * 1024 ** 3, unit: "bytes", basis: "measured" },
    effective_bits: 8.04,
  },
  scheme: "int8",
  loss: null,
  profile_count: 2,
};

function show(body: unknown, search: VariantSearch, onChange = vi.fn(), status = 200) {
  const fetched = vi.fn(async (_: Request) => {
    const type = status === 200 ? "application/json" : "application/problem+json";
    return new Response(JSON.stringify(body), { status, headers: { "content-type": type } });
  });
  vi.stubGlobal("fetch", fetched);
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <QueryClientProvider client={client}>
      <VariantsPage search={search} onChange={onChange} />
    </QueryClientProvider>,
  );
  return { fetched, onChange };
}

describe("VariantsPage", () => {
  it("asks the server for exactly what the URL says", async () => {
    const { fetched } = show({ items: [ROW], next_cursor: null }, { scheme: "int8", sort: "-loss" });
    expect(await screen.findByText("llama-2-13b")).toBeVisible();
    const url = new URL(fetched.mock.calls[0]?.[0].url ?? "");
    expect(url.searchParams.get("scheme")).toBe("int8");
    expect(url.searchParams.get("sort")).toBe("-loss");
    expect(screen.getByText("13.4 GiB")).toBeVisible();
    expect(screen.getByText("unknown")).toBeVisible();
  });

  it("sorts by a column, reverses on the second click and goes back to the first page", async () => {
    const { onChange } = show(
      { items: [ROW], next_cursor: "n" },
      { sort: "loss", cursor: "c", scheme: "int8" },
    );
    await userEvent.click(await screen.findByRole("button", { name: /Loss/ }));
    expect(onChange).toHaveBeenLastCalledWith({ scheme: "int8", sort: "-loss" });
    await userEvent.click(screen.getByRole("button", { name: "Next page" }));
    expect(onChange).toHaveBeenLastCalledWith({ scheme: "int8", sort: "loss", cursor: "n" });
  });

  it("says when nothing matches and offers the way out", async () => {
    const { onChange } = show({ items: [], next_cursor: null }, { search: "zzz" });
    await userEvent.click(await screen.findByRole("button", { name: "Clear the filters" }));
    expect(onChange).toHaveBeenLastCalledWith({});
  });

  it("shows the server's problem in its own words", async () => {
    const problem = { title: "Invalid input", detail: "cursor: is not one of ours", status: 422 };
    show(problem, { cursor: "x" }, vi.fn(), 422);
    expect(await screen.findByRole("alert")).toHaveTextContent("cursor: is not one of ours");
  });

  it("reads only known keys from a URL", () => {
    expect(parseVariantSearch({ search: "a", evil: "b", fetchable: true, model: "", sort: 3 })).toEqual({
      search: "a",
      fetchable: true,
      sort: "3",
    });
  });
});

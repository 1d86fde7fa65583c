import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { serve, show } from "../test-render";
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

async function page(body: unknown, search: VariantSearch) {
  const seen = serve({ "/api/v1/variants": body });
  const onChange = vi.fn();
  await show(<VariantsPage search={search} onChange={onChange} />);
  return { seen, onChange };
}

describe("VariantsPage", () => {
  it("asks the server for exactly what the URL says", async () => {
    const { seen } = await page({ items: [ROW], next_cursor: null }, { scheme: "int8", sort: "-loss" });
    expect(await screen.findByText("llama-2-13b")).toBeVisible();
    const url = new URL(seen[0]?.url ?? "");
    expect(url.searchParams.get("scheme")).toBe("int8");
    expect(url.searchParams.get("sort")).toBe("-loss");
    expect(url.searchParams.get("limit")).toBe("50");
    expect(screen.getByText("13.4 GiB")).toBeVisible();
    expect(screen.getByText("unknown")).toBeVisible();
    expect(screen.getByRole("columnheader", { name: /Loss/ })).toHaveAttribute("aria-sort", "descending");
  });

  it("sorts by a column, reverses on the second click and goes back to the first page", async () => {
    const { onChange } = await page(
      { items: [ROW], next_cursor: "n" },
      { sort: "loss", cursor: "c", scheme: "int8" },
    );
    await userEvent.click(await screen.findByRole("button", { name: /Loss/ }));
    expect(onChange).toHaveBeenLastCalledWith({ scheme: "int8", sort: "-loss" });
    await userEvent.click(screen.getByRole("button", { name: "Next page" }));
    expect(onChange).toHaveBeenLastCalledWith({ scheme: "int8", sort: "loss", cursor: "n" });
  });

  it("applies the filters together, and starts again at the first page", async () => {
    const { onChange } = await page({ items: [ROW] }, { cursor: "c", model: "llama-2-13b", sort: "loss" });
    await userEvent.type(screen.getByRole("searchbox", { name: "Search" }), " awq ");
    await userEvent.type(screen.getByRole("searchbox", { name: "Scheme" }), "int4{Enter}");
    const filters = { model: "llama-2-13b", sort: "loss", search: "awq", scheme: "int4" };
    expect(onChange).toHaveBeenLastCalledWith(filters);
    await userEvent.selectOptions(screen.getByRole("combobox", { name: "Format" }), "gguf");
    expect(onChange).toHaveBeenLastCalledWith({ ...filters, format: "gguf" });
    await userEvent.selectOptions(screen.getByRole("combobox", { name: "Order" }), "-loss");
    expect(onChange).toHaveBeenLastCalledWith({ ...filters, sort: "-loss" });
    await userEvent.click(screen.getByRole("checkbox", { name: "files held here" }));
    expect(onChange).toHaveBeenLastCalledWith({ ...filters, fetchable: true });
    await userEvent.click(screen.getByRole("button", { name: /model llama-2-13b/ }));
    expect(onChange).toHaveBeenLastCalledWith({ search: "awq", scheme: "int4", sort: "loss" });
  });

  it("says when nothing matches and offers the way out", async () => {
    const { onChange } = await page({ items: [], next_cursor: null }, { search: "zzz" });
    await userEvent.click(await screen.findByRole("button", { name: "Clear the filters" }));
    expect(onChange).toHaveBeenLastCalledWith({});
  });

  it("shows the server's problem in its own words", async () => {
    const problem = { title: "Invalid input", detail: "cursor: is not one of ours", status: 422 };
    await page(problem, { cursor: "x" });
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

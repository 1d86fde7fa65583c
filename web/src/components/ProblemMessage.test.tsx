import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { ApiError } from "../api/client";
import { misunderstood } from "../fixtures";
import { ProblemMessage } from "./ProblemMessage";

describe("ProblemMessage", () => {
  it("points at the word that was not understood and offers the corrected question", async () => {
    const onAsk = vi.fn();
    const { container } = render(<ProblemMessage error={new ApiError(misunderstood)} onAsk={onAsk} />);
    expect(container.querySelector("mark")?.textContent).toBe("floss");
    expect(container.querySelector(".query")?.textContent).toBe("13B on 24GB, 1% floss");
    expect(screen.getByText(/hardware \(/)).toBeVisible();
    await userEvent.click(screen.getByRole("button", { name: "13B on 24GB, 1% loss" }));
    expect(onAsk).toHaveBeenCalledWith("13B on 24GB, 1% loss");
  });

  it("counts code points, as the server does", () => {
    const extra = { query: "😀😀 foo on 24GB", position: 3, length: 3 };
    const { container } = render(<ProblemMessage error={new ApiError({ ...misunderstood, extra })} />);
    expect(container.querySelector("mark")?.textContent).toBe("foo");
  });

  it("marks a place at the end of the question", () => {
    const extra = { query: "13B on", position: 6, length: 0 };
    const { container } = render(<ProblemMessage error={new ApiError({ ...misunderstood, extra })} />);
    expect(container.querySelector("mark")?.textContent).toBe(" ");
  });

  it("says so when there is no server, and tries again", async () => {
    const onRetry = vi.fn();
    render(<ProblemMessage error={new TypeError("fetch failed")} onRetry={onRetry} />);
    expect(screen.getByRole("alert")).toHaveTextContent("cannot be reached");
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(onRetry).toHaveBeenCalledOnce();
  });
});

import { render, screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { ApiError } from "../api/client";
import { ProblemMessage } from "./ProblemMessage";

describe("ProblemMessage", () => {
  it("points at the word that was not understood", () => {
    const problem = {
      title: "Query not understood",
      detail: "query: `floss` is unknown; did you mean `loss`?",
      status: 422,
      query: "13B, 1% floss",
      position: 8,
      length: 5,
    };
    const { container } = render(<ProblemMessage error={new ApiError(problem)} />);
    expect(screen.getByRole("alert")).toHaveTextContent("did you mean `loss`?");
    expect(container.querySelector("mark")?.textContent).toBe("floss");
  });

  it("says so when there is no server", () => {
    render(<ProblemMessage error={new TypeError("fetch failed")} />);
    expect(screen.getByRole("alert")).toHaveTextContent("cannot be reached");
  });
});

import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cleanToken, tokens } from "../api/token";
import { serve, visit } from "../test-render";

const GOOD = `hf_${"a".repeat(40)}`;
const PROBLEM = { title: "Not authenticated", status: 401, code: "not-authenticated" };
const DENIED = { ...PROBLEM, detail: "a token with `read` is needed here" };
const BAD = { ...PROBLEM, detail: "Invalid credentials in Authorization header" };
const READER = { auth: "all", name: "laptop", token_id: "t", may: ["read"], resources: ["llama/*"] };

const bearer = (request: Request) => request.headers.get("authorization");
/** What a server that asks for tokens answers: to the one that works, to others, and to none. */
const guarded = (answer: unknown) => (request: Request) =>
  bearer(request) === `Bearer ${GOOD}` ? answer : bearer(request) ? BAD : DENIED;

beforeEach(() => window.sessionStorage.clear());
afterEach(() => tokens.signOut());

describe("a server that asks for tokens", () => {
  it("asks for one, says when it does not work, keeps one that does for the tab, and forgets it on the way out", async () => {
    const seen = serve({
      "/api/v1/whoami": guarded(READER),
      "/api/v1/variants": guarded({ items: [], next_cursor: null }),
    });
    await visit("/variants");
    const box = await screen.findByLabelText("Token");
    expect(box).toHaveFocus();
    expect(box).toHaveAttribute("type", "password");
    expect(screen.getByText(/kept in this tab only/)).toBeVisible();
    expect(screen.queryByRole("heading", { name: "Variants" })).toBeNull();

    await userEvent.type(box, "hf_wrong{Enter}");
    expect(await screen.findByRole("alert")).toHaveTextContent("This token does not work");
    expect(window.sessionStorage).toHaveLength(0);

    await userEvent.clear(box);
    await userEvent.click(box);
    await userEvent.paste(`  ${GOOD}\n`);
    await userEvent.keyboard("{Enter}");
    expect(await screen.findByText(/No variant matches/)).toBeVisible();
    expect(bearer(seen.at(-1) as Request)).toBe(`Bearer ${GOOD}`);
    expect(window.sessionStorage.getItem("planner-token")).toBe(GOOD);
    const who = await screen.findByRole("region", { name: "Signed in" });
    expect(who).toHaveTextContent("laptop");
    expect(who).toHaveTextContent("May read; writes only to llama/*.");

    await userEvent.click(within(who).getByRole("button", { name: "Sign out" }));
    expect(await screen.findByLabelText("Token")).toBeVisible();
    expect(window.sessionStorage).toHaveLength(0);
  });

  it("says that a token has run out, and shows nothing more", async () => {
    tokens.signIn("hf_revoked");
    serve({ "/api/v1/whoami": guarded(READER), "/api/v1/variants": guarded({ items: [] }) });
    await visit("/variants");
    expect(await screen.findByText(/Your token does not work any more/)).toBeVisible();
    expect(window.sessionStorage).toHaveLength(0);
  });

  it("says which scope is missing after a refusal, and lets another token be tried", async () => {
    tokens.signIn(GOOD);
    serve({
      "/api/v1/whoami": READER,
      "/api/v1/variants": {
        title: "Not allowed",
        status: 403,
        code: "not-allowed",
        detail: "the token `laptop` has measure; `read` is needed here",
        allowed: "`read`",
      },
    });
    await visit("/variants");
    const alert = await screen.findByRole("alert");
    expect(alert).toHaveTextContent("Not allowed: the token laptop has measure; read is needed here.");
    expect(alert).toHaveTextContent("planner token create NAME --scope read");
    await userEvent.click(within(alert).getByRole("button", { name: "Sign in with another token" }));
    expect(await screen.findByLabelText("Token")).toHaveFocus();
    await userEvent.click(screen.getByRole("button", { name: "Not now" }));
    expect(screen.queryByLabelText("Token")).toBeNull();
  });
});

it("shows nothing of all this where no token is asked for", async () => {
  serve({ "/api/v1/variants": { items: [], next_cursor: null } });
  await visit("/variants");
  await screen.findByText(/No variant matches/);
  await waitFor(() => expect(screen.queryByText(/sign in|signed in|token/i)).toBeNull());
});

it("takes a token as it is copied, and no text that is none", () => {
  expect(cleanToken(`Bearer ${GOOD}\n`)).toBe(GOOD);
  expect(cleanToken("two words")).toBeNull();
  expect(cleanToken("töken")).toBeNull();
  expect(cleanToken(" ")).toBeNull();
});

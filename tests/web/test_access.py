"""The dashboard of a server that asks for tokens, and what it shows of builds that were judged, promoted and withdrawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.api.process import running_server
from tests.web.test_dashboard import CONTRASTS, Visit

pytest.importorskip("model_signing")

from tests.web.stock import RUN, Stock, fill  # the import above says whether this one can be had

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

Open = Callable[[str | None], Visit]
KEPT = "sessionStorage.getItem('planner-token')"


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    return fill(tmp_path_factory.mktemp("stock"))


@pytest.fixture(scope="module")
def locked(dist: Path, stock: Stock) -> Iterator[str]:
    """A server that shows nothing without a token."""
    assert dist.is_dir()
    with running_server(stock.folder, {"PLANNER_AUTH": "all"}) as server:
        yield server.url


@pytest.fixture
def enter(browser: Browser, locked: str, stock: Stock) -> Iterator[Open]:
    """Opens a tab, signed in with one of the stock's tokens or with none."""
    visits: list[Visit] = []

    def start(label: str | None) -> Visit:
        context = browser.new_context(viewport={"width": 1200, "height": 900})
        visit = Visit(context.new_page(), locked)
        visits.append(visit)
        if label is not None:
            page = visit.open("/")
            page.get_by_label("Token").fill(stock.tokens[label])
            page.get_by_label("Token").press("Enter")
            expect(page.get_by_role("region", name="Signed in")).to_contain_text(label)
        return visit

    yield start
    for visit in visits:
        visit.page.context.close()
        assert not visit.complaints


def move(page: Page, variant: str) -> None:
    page.get_by_label("Variant it shall point at").fill(variant)
    page.get_by_role("button", name="Look it up").click()
    expect(page.get_by_role("region", name="Confirm the move")).to_contain_text(variant)
    page.get_by_role("button", name=re.compile("^Move ")).click()


def bearer(stock: Stock, label: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {stock.tokens[label]}"}


def test_a_token_is_asked_for_tried_and_kept_for_the_tab(enter: Open, stock: Stock) -> None:
    visit = enter(None)
    page = visit.open("/aliases/prod")
    box = page.get_by_label("Token")
    expect(box).to_be_focused()
    expect(page.get_by_role("heading", name="Move")).to_be_hidden()
    box.fill("hf_" + "x" * 40)
    box.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("This token does not work")
    assert page.evaluate(KEPT) is None

    box.fill(stock.tokens["reader"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Alias prod")
    who = page.get_by_role("region", name="Signed in")
    who.get_by_text("Signed in as").click()
    expect(who).to_contain_text("May read.")
    expect(page.get_by_text("To move it or roll it back")).to_contain_text("promote")
    expect(page.get_by_role("button", name="Roll back")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Alias prod")
    assert page.evaluate("localStorage.length") == 0
    assert page.context.cookies() == []

    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_label("Token")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.get_by_role("heading", name="Every move")).to_be_hidden()
    assert page.evaluate(KEPT) is None


def test_a_token_that_is_revoked_is_told_and_forgotten(enter: Open, stock: Stock) -> None:
    visit = enter(None)
    page = visit.open("/")
    boss = bearer(stock, "boss")
    made = page.request.post(
        f"{visit.url}/api/v1/tokens", headers=boss, data={"label": "short", "scopes": ["read"]}
    ).json()
    page.get_by_label("Token").fill(made["secret"])
    page.get_by_label("Token").press("Enter")
    expect(page.get_by_role("region", name="Signed in")).to_contain_text("short")
    page.request.post(f"{visit.url}/api/v1/tokens/{made['token']['id']}/revoke", headers=boss)
    page.get_by_role("link", name="Jobs").click()
    expect(page.get_by_text("Your token does not work any more")).to_be_visible()
    assert page.evaluate(KEPT) is None


def test_an_alias_moves_by_compare_and_swap_and_back(enter: Open, stock: Stock) -> None:
    visit = enter("promoter")
    page = visit.open("/aliases/prod")
    now = page.locator(".alias-now")
    expect(now).to_contain_text("gated-llama/build")
    # Somebody else is quicker.
    address = f"{visit.url}/api/v1/aliases/prod"
    boss = bearer(stock, "boss")
    assert page.request.put(address, headers=boss, data={"variant": stock.slow.id}).ok
    move(page, "gated-llama/base")
    expect(page.get_by_role("alert")).to_contain_text("It points at gated-llama/slow now.")
    expect(now).to_contain_text("gated-llama/slow deprecated")
    assert page.request.get(address, headers=boss).json()["alias"]["variant_id"] == stock.slow.id

    page.get_by_role("button", name="Move prod").click()
    expect(page.get_by_role("status")).to_contain_text("prod points at gated-llama/base.")
    expect(now).to_contain_text("moved by promoter")
    page.get_by_role("button", name="Roll back").click()
    expect(now).to_contain_text("gated-llama/slow")

    move(page, "gated-llama/doubtful")
    expect(page.get_by_role("alert")).to_contain_text("which is yanked: wrong tokenizer")
    expect(page.get_by_text("To protect it")).to_contain_text("admin")
    assert page.request.put(address, headers=boss, data={"variant": stock.build.id}).ok


def test_an_alias_has_a_history_and_can_be_protected(enter: Open) -> None:
    visit = enter("boss")
    page = visit.open("/aliases")
    expect(page.get_by_role("table", name="Aliases")).to_contain_text("gated-llama/doubtful yanked")
    page.get_by_role("link", name="prod").click()
    page.get_by_label("What did it point at on").fill("2020-01-01T00:00")
    expect(page.get_by_text("there was no alias prod")).to_be_visible()
    expect(page).to_have_url(re.compile("at=2020-01-01"))
    page.get_by_label("What did it point at on").fill("2100-01-01T00:00")
    expect(page.get_by_text("it pointed at")).to_contain_text("gated-llama/build")
    page.get_by_role("button", name="Protect prod").click()
    expect(page.get_by_text("Protected: it moves only")).to_be_visible()
    page.get_by_role("button", name="Free prod").click()
    expect(page.get_by_text("Not protected")).to_be_visible()

    page.get_by_role("link", name="Aliases").click()
    page.get_by_text("New alias").click()
    page.get_by_label("Name").fill("next")
    page.get_by_label("Variant it shall point at").fill("gated-llama/base")
    page.get_by_role("button", name="Look it up").click()
    page.get_by_role("button", name="Make next").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Alias next")


def test_a_variant_shows_its_state_gates_provenance_and_signature(enter: Open, stock: Stock) -> None:
    visit = enter("reader")
    page = visit.open(f"/variants/{stock.build.id}")
    expect(page.get_by_role("list", name="Aliases")).to_contain_text("prod")
    expect(page.get_by_role("table", name="Gates")).to_contain_text("pass")
    run = page.get_by_role("table", name="Registrations").get_by_role("link")
    expect(run).to_have_attribute("href", RUN.run_url or "")
    expect(page.get_by_role("table", name="Registrations")).to_contain_text("acme/models refs/heads/main")
    expect(page.get_by_role("table", name="Signatures").locator("code")).to_have_text(
        re.compile("^[0-9a-f]{64}$")
    )

    page = visit.open(f"/variants/{stock.slow.id}")
    state = page.get_by_role("region", name="State")
    expect(state).to_contain_text("Deprecated: slower than its successor")
    page.get_by_role("table", name="Gates").get_by_text("1 check").click()
    expect(page.get_by_role("table", name="Checks")).to_contain_text("more items would decide")
    expect(page.get_by_text("What would decide")).to_be_visible()
    state.get_by_role("link", name="gated-llama/build").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^build"))

    page = visit.open(f"/variants/{stock.broken.id}")
    expect(page.get_by_role("region", name="State")).to_contain_text("Quarantined: failed the gate chat")
    expect(page.get_by_text("planner fetch")).to_have_count(0)
    page = visit.open("/variants?fetchable=true")
    expect(page.get_by_role("table", name="Variants")).to_contain_text("yanked")


def test_an_answer_says_what_was_withdrawn_and_why(enter: Open) -> None:
    visit = enter("reader")
    page = visit.ask("gated-llama on 24GB")
    page.get_by_text("may not be recommended").first.click()
    table = page.get_by_role("table", name="Not chosen: state")
    expect(table).to_contain_text("quarantined: failed the gate chat")
    expect(table).to_contain_text("yanked: wrong tokenizer")


def test_nothing_is_asked_where_the_server_asks_nobody(browser: Browser, url: str) -> None:
    page = browser.new_page()
    for path in ("/", "/aliases", "/jobs"):
        page.goto(url + path)
        page.wait_for_load_state("networkidle")
        expect(page.get_by_text(re.compile("sign in|signed in|token", re.IGNORECASE))).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    page.close()


def test_these_pages_are_readable_on_a_phone_by_day_and_night(
    browser: Browser, locked: str, stock: Stock
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()

    def poor() -> list[str]:
        found: list[str] = []
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            found += [f"{scheme}: {text}" for text in page.evaluate(CONTRASTS)]
        return found

    page.goto(locked)
    expect(page.get_by_label("Token")).to_be_visible()
    assert poor() == []
    page.get_by_label("Token").fill(stock.tokens["promoter"])
    page.get_by_label("Token").press("Enter")
    page.get_by_role("region", name="Signed in").wait_for()
    for path in (
        "/aliases",
        "/aliases/prod?at=2100-01-01T00:00",
        "/jobs",
        f"/variants/{stock.slow.id}",
        f"/variants/{stock.build.id}",
        f"/?q={quote('70B on 4x4090')}",
    ):
        page.goto(locked + path)
        page.wait_for_load_state("networkidle")
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider == 0, path
        assert poor() == [], path
        unnamed = page.locator("input:not([aria-label]), select, button, a").evaluate_all(
            "all => all.filter(e => !(e.labels?.length || e.textContent.trim() || e.ariaLabel)).length"
        )
        assert unnamed == 0, path
    context.close()

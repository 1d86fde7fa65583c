"""The dashboard end to end: real server, real browser, under the server's own content security policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

QUESTION = "13B on 24GB, ≤1% loss"
TIMEOUT_MS = 10_000

# The ratio of every text to what it stands on, by WCAG 2's formula; controls that are switched off are exempt.
CONTRASTS = """
() => {
  const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const hidden = !element.checkVisibility({ opacityProperty: true }) || element.closest(":disabled");
    if (!own || hidden) continue;
    const style = getComputedStyle(element);
    const ink = luminance(rgb(element.closest("svg") ? style.fill : style.color));
    const paper = luminance(ground(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) poor.push(`${element.textContent.slice(0, 40)} ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""


class Visit:
    """A page with everything that it asked for and complained about."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)

    def _heard(self, message: object) -> None:
        text, kind = getattr(message, "text", ""), getattr(message, "type", "")
        # The browser itself reports an error status that the page has asked for and shows in words.
        if kind in {"error", "warning"} and "responded with a status of 4" not in text:
            self.complaints.append(text)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        self.page.wait_for_load_state("networkidle")
        return self.page

    def ask(self, question: str) -> Page:
        return self.open(f"/?q={quote(question)}")

    def asked(self, path: str) -> list[dict[str, str]]:
        """Return the query of each request to `path` so far."""
        parts = [urlsplit(request) for request in self.requests]
        return [dict(parse_qsl(part.query)) for part in parts if part.path == path]


@pytest.fixture
def visit(browser: Browser, url: str) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    visit = Visit(context.new_page(), url)
    yield visit
    foreign = [request for request in visit.requests if not request.startswith((url, "data:"))]
    context.close()
    assert not foreign, "the dashboard asked another server"
    assert not visit.complaints


def test_a_question_is_answered(visit: Visit) -> None:
    page = visit.open("/")
    expect(page.get_by_role("heading", name="For example")).to_be_visible()
    box = page.get_by_role("searchbox")
    box.fill(QUESTION)
    box.press("Enter")
    expect(page.get_by_text("Recommended", exact=True)).to_be_visible()
    assert dict(parse_qsl(urlsplit(page.url).query)) == {"q": QUESTION}
    expect(page).to_have_title(re.compile("^13B on 24GB"))

    answer = page.request.get(f"{visit.url}/api/v1/recommend", params={"q": QUESTION}).json()
    chips = page.get_by_role("region", name="Understood").get_by_role("listitem").all_inner_texts()
    assert chips == [f"{row['sentence']} {row['origin']}" for row in answer["understood"]]
    chosen = answer["result"]["chosen"]
    expect(page.get_by_role("heading", level=2).get_by_role("link")).to_have_text(chosen["name"])

    bar = page.get_by_role("img", name=re.compile("^Peak memory .* of 23.4 GiB"))
    width = float(bar.locator("rect.memory-weights").get_attribute("width") or 0)
    memory = chosen["memory"]
    assert width == pytest.approx(100 * memory["weights"]["value"] / memory["capacity"]["value"])
    for reason in answer["result"]["reasons"]:
        expect(page.get_by_text(reason)).to_be_visible()
    drawn = {c["variant_id"] for c in answer["result"]["alternatives"] + answer["result"]["frontier"]}
    assert page.locator("a.point").count() == len(drawn)
    expect(page.locator(".pareto-label")).to_contain_text(chosen["name"])
    expect(page.get_by_text(f"{answer['result']['eliminated']['model']} of other models")).to_be_visible()


def test_reload_and_back_keep_the_view(visit: Visit) -> None:
    page = visit.ask(QUESTION)
    name = page.get_by_role("heading", level=2).inner_text()
    page.reload()
    expect(page.get_by_role("heading", level=2)).to_have_text(name)
    expect(page.get_by_role("searchbox")).to_have_value(QUESTION)
    page.get_by_role("table", name="Alternatives").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Speed and memory")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", level=2)).to_have_text(name)
    page.get_by_role("link", name=re.compile("^Plan ")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(QUESTION)
    page.reload()
    expect(page.get_by_role("heading", level=2)).to_have_text(name)
    page.get_by_role("link", name="Ask again").click()
    expect(page.get_by_role("searchbox")).to_have_value(QUESTION)


def test_the_chart_answers_to_the_keyboard(visit: Visit) -> None:
    page = visit.ask("80GB")
    page.locator("a.point[tabindex='0']").focus()
    page.keyboard.press("Home")
    first = page.locator("a.point:focus").get_attribute("aria-label") or ""
    expect(page.locator(".pareto-label")).to_contain_text(first.split(":")[0])
    page.keyboard.press("ArrowRight")
    assert page.locator("a.point:focus").get_attribute("aria-label") != first
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/variants/published:"))


def test_an_infeasible_question_offers_changes_that_work(visit: Visit) -> None:
    page = visit.ask("70B on 8GB, ≤0.1% loss")
    expect(page.get_by_text("Infeasible", exact=True)).to_be_visible()
    expect(page.get_by_text("cannot hold together")).to_contain_text("70B models and 8 GiB nominal card")
    expect(page.locator("rect.memory-limit")).to_have_count(1)
    relaxations = page.get_by_role("table", name="Relaxations").get_by_role("row")
    assert relaxations.count() >= 2
    promised = relaxations.nth(1).get_by_role("link").inner_text()
    relaxations.nth(1).get_by_role("button", name=re.compile("^Plan with")).click()
    expect(page).to_have_url(re.compile("/plans/"))
    expect(page.get_by_text("Recommended", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", level=2).get_by_role("link")).to_have_text(promised)


def test_an_error_points_at_the_word(visit: Visit) -> None:
    page = visit.ask("13B on 24GB, 1% losss")
    expect(page.get_by_role("alert")).to_contain_text("did you mean loss")
    expect(page.locator("mark")).to_have_text("losss")
    page.get_by_role("button", name="13B on 24GB, 1% loss").click()
    expect(page.get_by_text("Recommended", exact=True)).to_be_visible()


def test_a_chinese_question_is_answered(visit: Visit) -> None:
    page = visit.ask("24GB显存跑13B，精度损失不超过1%")
    expect(page.get_by_text("Recommended", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="Understood")).to_contain_text("relative loss ≤ 1 %")


def test_presets_are_words_of_the_language(visit: Visit) -> None:
    page = visit.open("/")
    box = page.get_by_role("searchbox")
    chips = page.locator(".presets button")
    assert chips.count() >= 8
    for chip in chips.all():
        box.fill("24GB")
        chip.click()
        expect(box).to_be_focused()
        question = box.input_value()
        assert question.startswith("24GB, ")
        reading = page.request.get(f"{visit.url}/api/v1/understand", params={"q": question})
        assert reading.status == 200, question
        assert reading.json()["scenario"]["preset"]


def test_variants_are_filtered_sorted_and_paged_by_the_server(visit: Visit) -> None:
    page = visit.open("/variants")
    rows = page.get_by_role("table", name="Variants").locator("tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_label("Search").fill("llama")
    page.get_by_label("Search").press("Enter")
    page.get_by_label("Format").select_option("gguf")
    table = page.get_by_role("table", name="Variants")
    page.get_by_role("button", name="Weights").click()
    with page.expect_response(re.compile("sort=-weight_bytes")):
        page.get_by_role("button", name="Weights").click()
    heading = page.get_by_role("columnheader", name="Weights")
    expect(heading).to_have_attribute("aria-sort", "descending")
    expect(table).to_have_attribute("aria-busy", "false")
    wanted: dict[str, str | float | bool] = {
        "search": "llama",
        "format": "gguf",
        "sort": "-weight_bytes",
        "limit": "50",
    }
    assert visit.asked("/api/v1/variants")[-1] == wanted
    listed = page.request.get(f"{visit.url}/api/v1/variants", params=wanted).json()
    names = page.locator("tbody tr td:first-child a")
    assert names.all_inner_texts() == [row["variant"]["name"] for row in listed["items"]]

    with page.expect_response(re.compile("cursor=")):
        page.get_by_role("button", name="Next page").click()
    expect(table).to_have_attribute("aria-busy", "false")
    assert "cursor=" in page.url
    assert visit.asked("/api/v1/variants")[-1] == {**wanted, "cursor": listed["next_cursor"]}
    second = names.all_inner_texts()
    assert not set(second) & {row["variant"]["name"] for row in listed["items"]}
    page.reload()
    expect(names.first).to_have_text(second[0])
    assert names.all_inner_texts() == second
    page.go_back()
    expect(names.first).to_have_text(listed["items"][0]["variant"]["name"])

    page.get_by_label("Search").fill("no such thing")
    page.get_by_label("Search").press("Enter")
    page.get_by_text("No variant matches.").wait_for()
    page.get_by_role("button", name="Clear the filters").click()
    expect(rows).to_have_count(50)
    assert urlsplit(page.url).query == ""


def test_a_held_variant_shows_its_files_and_how_to_fetch_them(
    visit: Visit, held_id: tuple[Path, str]
) -> None:
    digest = held_id[1]
    page = visit.open("/variants")
    page.get_by_label("files held here").check()
    page.get_by_role("link", name="tiny-llama-fp32").click()
    expect(page).to_have_url(f"{visit.url}/variants/{digest}")
    expect(page.get_by_role("table", name="Files").locator("tbody tr")).to_have_count(2)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"planner fetch {digest} ./tiny-llama-fp32 --server {visit.url}"
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("tiny-llama-fp32")


def test_a_published_variant_shows_its_evidence(visit: Visit) -> None:
    page = visit.open("/variants/published:deepseek-r1-distill-llama-70b/fp8-dynamic")
    shown = page.get_by_role("table", name="Evaluations").locator("tbody tr")
    variant = "published:deepseek-r1-distill-llama-70b/fp8-dynamic"
    known = page.request.get(f"{visit.url}/api/v1/evaluations", params={"variant": variant}).json()["items"]
    assert known
    expect(shown).to_have_count(len(known))
    for evaluation in known:
        assert evaluation["basis"] in shown.filter(has_text=evaluation["task"]).first.inner_text()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/no/such/page", "No such page"),
        ("/plans/nothing", "no plan nothing"),
        ("/variants/nothing", "no variant nothing"),
        ("/variants?sort=nonsense", "sort"),
        ("/variants?cursor=forged", "cursor"),
    ],
)
def test_what_is_not_there_is_said(visit: Visit, path: str, words: str) -> None:
    page = visit.open(path)
    expect(page.get_by_role("main")).to_contain_text(words)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_readable_on_a_phone(browser: Browser, url: str, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    for path in (
        "/",
        f"/?q={quote(QUESTION)}",
        f"/?q={quote('70B on 8GB, ≤0.1% loss')}",
        f"/?q={quote('13B on 24GB, 1% losss')}",
        "/variants",
        "/variants/published:llama-2-13b/int4-spinquant",
    ):
        page.goto(url + path)
        page.wait_for_load_state("networkidle")
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider == 0, path
        assert page.evaluate(CONTRASTS) == [], path
        unnamed = page.locator("input:not([aria-label]), select, button, a").evaluate_all(
            "all => all.filter(e => !(e.labels?.length || e.textContent.trim() || e.ariaLabel)).length"
        )
        assert unnamed == 0, path
    context.close()

"""The page in headless Chromium: used by keyboard alone, read by a screen reader, safe against what texts hold."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import train_labels
from serving import Echo, serving

from zoo.experiment import load
from zoo.serve.limits import Limits

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SHOTS = os.environ.get("ZOO_SCREENSHOTS")
"""A directory for the picture of docs/serving.md; unset: none is made."""
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
]
TREE = """
() => [...document.querySelectorAll('input, button, summary, a[href], [tabindex="0"]')]
    .filter((one) => one.checkVisibility())
    .filter((one) => {
        const named = one.getAttribute('aria-label') || one.textContent.trim() || (one.labels && one.labels.length);
        return !named;
    }).map((one) => one.outerHTML)
"""
CONTRAST = """
() => {
    const light = (color) => {
        const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const paper = (one) => {
        for (; one; one = one.parentElement) {
            const color = getComputedStyle(one).backgroundColor;
            if (!/, 0\\)$/.test(color)) return color;
        }
        return 'rgb(255, 255, 255)';
    };
    return [...document.querySelectorAll('body *')]
        .filter((one) => one.checkVisibility() && [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
        .map((one) => {
            const [a, b] = [light(getComputedStyle(one).color), light(paper(one))].sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), one.outerHTML.slice(0, 80)];
        })
        .filter(([ratio]) => ratio < 4.5);
}
"""


class Complaints(list[str]):
    """What the console, uncaught errors and requests to elsewhere would say; none is expected."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def g2p() -> Iterator[str]:
    with serving(load("g2p-en"), runs=["g2p-en"]) as client:
        yield str(client.base_url)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """Return a page whose console, errors and requests must stay clean."""
    context = browser.new_context(viewport={"width": 900, "height": 1050})
    page = context.new_page()
    page.complaints = Complaints()
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: page.complaints.append(request.url))
    page.on("dialog", lambda dialog: (page.complaints.append(dialog.message), dialog.dismiss()))
    yield page
    context.close()


def open_page(page: Any, url: str) -> Any:
    page.goto(url)
    playwright.expect(page.locator("#about")).to_contain_text("for each text")
    return page


def said(page: Any) -> str:
    """Wait for the words of the live region on a prediction, and return them."""
    playwright.expect(page.get_by_role("status")).to_contain_text("Best")
    return str(page.text_content("#status"))


def complained(page: Any, words: str) -> None:
    """Wait for a complaint that begins with these words."""
    playwright.expect(page.get_by_role("alert")).to_contain_text(words)


def test_a_word_is_typed_and_answered_by_keyboard_alone(page: Any, g2p: str) -> None:
    open_page(page, g2p)
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.type("neuroscience")
    page.keyboard.press("Enter")
    assert said(page).startswith("5 outputs. Best: N ")
    outputs = page.locator("#outputs tr")
    assert outputs.count() == 5
    expected = load("g2p-en").predict(["neuroscience"], nbest=5)[0]
    assert [row.split("\t")[1] for row in outputs.all_inner_texts()] == [one.text for one in expected]
    assert page.locator("#picture rect.cell").count() == 13 * (len(expected[0].text.split()) + 1)
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / "serving.png"), full_page=True)
    for _ in range(10):  # to the table, which opens by a key
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    assert page.locator("#weights tbody tr").count() == len(expected[0].text.split()) + 1
    assert page.locator("#weights thead th").all_inner_texts() == [*"neuroscience", "⊙"]
    assert page.complaints == []


def test_every_control_is_reached_by_tab_in_order_and_shows_it(page: Any, g2p: str) -> None:
    open_page(page, g2p)
    reached = []
    for _ in range(6):
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Tab")
    assert reached == ["text", "nbest", "beam", "Predict", "The API for programs", "health"]


def test_what_is_seen_has_names_and_roles_and_contrast(page: Any, g2p: str) -> None:
    open_page(page, g2p)
    page.get_by_label("Text").fill("zebra")
    page.get_by_label("Beam width").fill("7")
    page.get_by_role("button", name="Predict").click()
    said(page)
    assert page.get_by_role("status").text_content().startswith("5 outputs")
    assert page.get_by_role("img").get_attribute("aria-labelledby") == "attention-said"
    assert page.text_content("#attention-said").startswith("Looked at most: Z at z, ")
    assert page.get_by_role("table").first.locator("caption").text_content() == "for “zebra”"
    page.locator("summary").click()
    assert page.evaluate(TREE) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("width", [320, 1280])
def test_the_page_fits_narrow_and_wide_windows(page: Any, g2p: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, g2p)
    page.get_by_label("Text").fill("antidisestablishmentarianism")
    page.keyboard.press("Enter")
    said(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_is_wrong_is_said_at_once_and_the_field_is_marked(page: Any, g2p: str) -> None:
    open_page(page, g2p)
    page.keyboard.press("Enter")
    assert page.get_by_role("alert").text_content() == "Type a text first."
    assert page.get_attribute("#text", "aria-invalid") == "true"
    page.get_by_label("Text").fill("zebra")
    page.get_by_label("Beam width").fill("3")
    page.keyboard.press("Enter")
    complained(page, "`nbest` must be at most the beam width (3), but is 5")
    assert page.get_attribute("#text", "aria-invalid") is None
    assert page.locator("#result").is_hidden()


def test_a_text_of_markup_stays_a_text(page: Any) -> None:
    text = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&amp;"
    model = Echo()
    model.attends = True
    model.answer = lambda texts, search: [_marked(text) for text in texts]  # type: ignore[method-assign]
    with serving(model) as client:
        open_page(page, str(client.base_url))
        page.get_by_label("Text").fill(text)
        page.keyboard.press("Enter")
        assert text in said(page)
        assert page.locator("#outputs th").first.inner_text() == text
        page.locator("summary").click()
        assert page.locator("#weights thead th").all_inner_texts() == [text.replace(" ", "␣")]
        assert page.locator("img, main script").count() == 0
    assert page.complaints == []


def _marked(text: str) -> dict[str, Any]:
    output = {"text": text, "score": 0.0, "probability": 1.0}
    attention = {"source": [text], "target": [text], "weights": [[1.0]]}
    return {"input": text, **output, "nbest": [output], "unknown": [text], "attention": attention}


def test_labels_are_shown_without_beam_and_attention(page: Any, tmp_path: Path) -> None:
    assert train_labels(tmp_path) == 0
    with serving(load(tmp_path / "labels")) as client:
        open_page(page, str(client.base_url))
        assert page.locator("#beam").is_hidden()
        page.keyboard.type("ab ab")
        page.keyboard.press("Enter")
        assert said(page).startswith("2 labels. Best: ")
        assert page.locator("#attention").is_hidden()
        assert sorted(page.locator("#outputs th").all_inner_texts()) == ["even", "odd"]


def test_a_newer_question_takes_the_place_of_an_older(page: Any) -> None:
    with serving(Echo(0.5), limits=Limits(window=0)) as client:
        open_page(page, str(client.base_url))
        for text in ("old", "new"):
            page.get_by_label("Text").fill(text)
            page.keyboard.press("Enter")
        assert "Best: NEW" in said(page)
        page.wait_for_timeout(700)
        assert page.get_by_role("alert").text_content() == ""
        assert "Best: NEW" in said(page)


def test_a_server_that_is_gone_is_told(page: Any) -> None:
    with serving(Echo()) as client:
        open_page(page, str(client.base_url))
    page.keyboard.type("zebra")
    page.keyboard.press("Enter")
    complained(page, "The server does not answer")


def test_a_page_of_another_site_gets_nothing(page: Any) -> None:
    model = Echo()
    with serving(model) as client, serving(Echo()) as other:
        page.goto(f"{other.base_url}health")
        url = f"{client.base_url}predict"
        post = f"fetch('{url}', {{method: 'POST', mode: 'no-cors', body: '{{\"texts\": [\"a\"]}}'}}).catch(() => 0)"
        page.evaluate(post)
    assert model.batches == []


def test_the_page_of_the_api_is_read_without_javascript(browser: Any, g2p: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{g2p}docs")
    assert page.get_by_role("heading", name="POST /predict").count() == 1
    page.goto(g2p)
    assert "needs JavaScript" in page.inner_text("main")
    context.close()

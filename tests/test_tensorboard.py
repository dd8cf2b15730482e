"""What a person sees of runs in TensorBoard, looked at in a browser that has no window.

With ZOO_SCREENSHOTS=DIR the runs are those of docs/tensorboard.md, larger ones, and pictures of them are put into DIR.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from commands import inside

browsers = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
SCREENSHOTS = os.environ.get("ZOO_SCREENSHOTS", "")
PATIENCE = 60
"""Seconds that TensorBoard or the browser may take for one thing on a busy machine; idle, each takes two or three."""

COMMON = ["device=cpu", "precision=fp32"]
TINY = {
    "multirun/relu": ["-m", "model=classifier,classifier_functional", "optimizer=adam,sgd", "dataset=parity",
                      "dataset.train_size=200", "dataset.valid_size=40", "dataset.test_size=40", "epochs=3"],
    "reverse": ["model=seq2seq", "dataset=reverse", "dataset.train_size=200", "dataset.valid_size=20",
                "dataset.test_size=20", "epochs=2"],
}  # fmt: skip
SHOWN = {
    "multirun/relu": ["-m", "model=classifier,classifier_functional", "optimizer=adam,sgd", "epochs=6"],
    "reverse": [
        "model=seq2seq",
        "model.hidden_size=64",
        "dataset=reverse",
        "dataset.symbols=6",
        "dataset.max_length=6",
        "dataset.train_size=4000",
        "batch_tokens=512",
        "optimizer.lr=0.01",
        "epochs=3",
    ],
}
JOBS = [f"multirun/relu/model={model},optimizer={optimizer}"
        for model in ("classifier", "classifier_functional") for optimizer in ("adam", "sgd")]  # fmt: skip
RUNS = [*JOBS, "reverse"]
SIZE: Any = {"width": 1280, "height": 800}
PLUGINS = ("timeseries", "scalars", "images", "histograms", "hparams", "text", "pr_curves", "projector")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a sweep and a run."""
    place = tmp_path_factory.mktemp("board")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name, words in (SHOWN if SCREENSHOTS else TINY).items():
            key = "hydra.sweep.dir" if "-m" in words else "run_dir"
            assert inside("train", *words, *COMMON, f"{key}=runs/{name}") == 0
    return place


@pytest.fixture(scope="module")
def address(here: Path) -> Iterator[str]:
    """Start TensorBoard as the documentation says, on a free port, and end it."""
    command = [str(Path(sys.executable).with_name("tensorboard")), "--logdir", "runs", "--host", "localhost"]
    with (here / "tensorboard.log").open("w") as log:
        process = subprocess.Popen([*command, "--port", "0"], cwd=here, stderr=log, stdout=log)
    try:
        found = until(lambda: re.search(r"http://localhost:\d+/", (here / "tensorboard.log").read_text()))
        until(lambda: loaded(found[0]))
        yield found[0]
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait(20)


def until(look: Any) -> Any:
    """Wait until `look` finds something, and return that."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "TensorBoard does not answer"
        time.sleep(0.2)
    return found


def loaded(address: str) -> bool:
    """Whether TensorBoard has read every run to its end and has something to show in every tab."""
    listing, runs, scalars = (answer(address, path) for path in ("plugins_listing", "runs", "plugin/scalars/tags"))
    if not (set(RUNS) <= set(runs) and all(listing[name]["enabled"] for name in PLUGINS)):
        return False
    return all("hparam/test_loss" in scalars.get(run, ()) for run in RUNS)  # written last, and a page is not updated


def answer(address: str, path: str) -> Any:
    """Return what TensorBoard's server says of its data."""
    with urllib.request.urlopen(f"{address}data/{path}", timeout=PATIENCE) as reply:
        return json.load(reply)


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    """Open a page in headless Chromium."""
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        found = browser.new_page(viewport=SIZE)
        found.set_default_timeout(1000 * PATIENCE)
        yield found
        browser.close()


def show(page: Any, address: str, tab: str) -> None:
    """Go to a tab of TensorBoard, which heeds the address when a page is loaded."""
    page.goto("about:blank")
    page.goto(f"{address}#{tab}")


def sees(where: Any, text: str) -> Any:
    """Wait until a text can be seen, and return the first element that holds it."""
    element = where.get_by_text(text, exact=True).locator("visible=true").first
    element.wait_for()
    return element


def keep(page: Any, name: str) -> None:
    """Put a picture of the page where the documentation has it, if that is asked for."""
    if SCREENSHOTS:
        from PIL import Image

        path = Path(SCREENSHOTS, f"{name}.png")
        page.wait_for_timeout(1500)  # for what moves into its place
        page.screenshot(path=path)
        Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(path, optimize=True)


def only(page: Any, pattern: str) -> None:
    """Let a dashboard show the tags alone that match a pattern."""
    page.locator("tf-tag-filterer input, tb-filter-input[placeholder*=tags] input").locator("visible=true").first.fill(
        pattern
    )


def tick(page: Any, metric: str) -> None:
    """Let the table of runs show a metric: TensorBoard ticks the first five of a run that it takes at random."""
    box = page.locator("paper-checkbox.metric-checkbox", has_text=re.compile(rf"^\s*{metric}\s*$"))
    if box.get_attribute("aria-checked") != "true":
        box.click()


def pick(frame: Any, label: str, item: str) -> None:
    """Choose an item of the Projector's menu whose label has these words."""
    menus = frame.locator("paper-dropdown-menu")
    labels = until(lambda: [one for one in menus.evaluate_all("all => all.map(one => one.label)") if label in one]
                   and menus.evaluate_all("all => all.map(one => one.label)"))  # fmt: skip
    menu = menus.nth(next(number for number, found in enumerate(labels) if label in found))
    menu.click()
    menu.locator("paper-item", has_text=re.compile(rf"^\s*{re.escape(item)}")).first.click()


def test_every_run_is_named_and_has_its_curves(page: Any, address: str) -> None:
    show(page, address, "timeseries")
    for run in RUNS:
        sees(page, run)
    only(page, "^(loss|dead_units)/")
    page.keyboard.press("Escape")  # the list of tags that match
    cards = page.locator("scalar-card").filter(visible=True)
    until(lambda: len(cards.all_inner_texts()) == 3 and all("model=" in text for text in cards.all_inner_texts()))
    told = "".join(text for text in cards.all_inner_texts() if text.startswith("dead_units"))
    assert "model=classifier," in told
    assert "model=classifier_functional," not in told
    keep(page, "tensorboard-scalars")


def test_the_table_of_runs_lists_every_job_of_a_sweep_with_its_metrics(page: Any, address: str, here: Path) -> None:
    page.set_viewport_size({"width": 1800, "height": 400})
    show(page, address, "hparams")
    for option in ("model.name", "optimizer.name"):
        sees(page, option)
    for metric in ("valid_accuracy", "test_accuracy"):
        tick(page, metric)
    for job in JOBS:
        sees(page, job)
        results = json.loads((here / "runs" / job / "results.json").read_text())
        for part in ("valid", "test"):
            sees(page, f"{results[part]['accuracy']:.5f}")
    keep(page, "tensorboard-hparams")
    page.set_viewport_size(SIZE)


def test_attention_and_confusion_are_images(page: Any, address: str) -> None:
    show(page, address, "images")
    only(page, "attention|confusion")
    for group in ("attention", "confusion"):
        sees(page, group)
    images = page.locator("tf-image-loader img")
    until(lambda: images.count() >= 3)
    until(lambda: all(width > 100 for width in images.evaluate_all("all => all.map(one => one.naturalWidth)")))
    keep(page, "tensorboard-images")


def test_histograms_show_activations_of_modules_and_not_of_functions(page: Any, address: str) -> None:
    show(page, address, "histograms")
    for group in ("activations", "gradients", "weights"):
        sees(page, group)
    only(page, "activations|gradients/hidden.weight")
    group = page.locator("tf-category-paginated-view", has_text="Tags matching").first
    look = "all => all.map(one => [one.tag, one.run])"
    until(lambda: len(group.locator("tf-histogram-loader").evaluate_all(look)) == 6)
    shown = group.locator("tf-histogram-loader").evaluate_all(look)
    assert {run for tag, run in shown if tag == "activations/activation"} == set(JOBS[:2])
    assert {run for tag, run in shown if tag == "gradients/hidden.weight"} == set(JOBS)
    keep(page, "tensorboard-histograms")


def test_samples_and_the_config_are_texts(page: Any, address: str) -> None:
    show(page, address, "text")
    sees(page, "config")
    only(page, "samples")
    for text in ("source", "prediction", "reference"):
        sees(page, text)
    keep(page, "tensorboard-text")


def test_precision_and_recall_are_a_curve_for_each_label(page: Any, address: str) -> None:
    show(page, address, "pr_curves")
    for label in ("negative", "positive") if SCREENSHOTS else ("even", "odd"):
        sees(page, f"valid/{label}")
    page.locator("tf-pr-curve-card path").first.wait_for()
    keep(page, "tensorboard-precision-recall")


def test_tokens_labels_and_states_are_points_with_what_is_known(page: Any, address: str, here: Path) -> None:
    page.set_viewport_size(SIZE if SCREENSHOTS else {"width": 700, "height": 400})  # drawn without a graphics card
    show(page, address, "projector")
    frame = page.frame_locator("iframe").frame_locator("iframe")
    pick(frame, "runs found", JOBS[0])
    for name, color in (("text_tokens", "rank"), ("states", "label")) if SCREENSHOTS else (("states", "cluster"),):
        pick(frame, "tensors found", name)
        points = (here / "runs" / JOBS[0] / "projector" / f"{name}.tsv").read_text().count("\n")
        until(lambda points=points: frame.locator(".numDataPoints").first.inner_text() == str(points))
        pick(frame, "Color by", color)
        keep(page, f"tensorboard-{name}")
    first_words = {text.split()[0] for text in frame.locator("paper-item").all_text_contents() if text.strip()}
    assert {"labels", "text_tokens", "label", "predicted", "cluster"} <= first_words

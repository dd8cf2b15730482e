"""The examples of docs/serving.md give the answers that stand below them."""

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from serving import serving
from test_docs import ROOT, blocks

from zoo.cli.serve import _options
from zoo.experiment import load
from zoo.serve.guard import HEADERS
from zoo.serve.limits import ATTENTIONS, MOST_OUTPUTS, Limits

PAGE = ROOT / "docs" / "serving.md"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(load("g2p-en"), runs=["g2p-en"]) as client:
        yield str(client.base_url).rstrip("/")


def rounded(values: Any) -> Any:
    """Return values with numbers that may differ in their last digits."""
    if isinstance(values, dict):
        return {key: rounded(value) for key, value in values.items()}
    if isinstance(values, list):
        return [rounded(value) for value in values]
    return pytest.approx(values, abs=2e-3) if isinstance(values, float) else values


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl_gets_what_is_shown(address: str) -> None:
    found = blocks(PAGE)
    (shell, shown), *more = [pair for pair in pairwise(found) if pair[1].language == "json"]
    assert not more
    line = shell.text.replace("http://localhost:8000", address)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == rounded(json.loads(shown.text))


def test_python_prints_what_is_shown(address: str) -> None:
    found = blocks(PAGE)
    (code,) = blocks(PAGE, "python")
    shown = found[[str(block) for block in found].index(str(code)) + 1]
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(code.text.replace("http://localhost:8000", address), str(code), "exec"), {"__name__": "page"})
    assert printed.getvalue() == shown.text


def test_the_limits_of_the_page_are_the_defaults() -> None:
    text, limits, options = PAGE.read_text(encoding="utf-8"), Limits(), _options(["last"])
    assert (options.max_texts, options.max_length) == (limits.texts, limits.characters)
    assert (options.max_waiting, options.timeout) == (limits.waiting, limits.seconds)
    assert options.window / 1000 == limits.window
    for what, number in {"texts of a request": limits.texts, "characters of a text": limits.characters,
                         "`nbest`, `beam`": MOST_OUTPUTS, "requests that are open": limits.requests,
                         "seconds of a request": int(limits.seconds),
                         "texts that wait for the model, of all requests": limits.waiting}.items():  # fmt: skip
        assert f"| {what} | {number:,} |" in text
    assert f"for at most {ATTENTIONS} texts" in text
    assert "Content-Security-Policy" in HEADERS


def test_the_picture_of_the_page_is_small() -> None:
    picture = Path(ROOT / "docs" / "images" / "serving.png")
    assert picture.stat().st_size < 100_000

"""What a run leaves to look at: attention, confusions, histograms and points for the projector."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.font_manager import findfont
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zoo.record import Cloud, Recorder, attention_figure, confusion_figure, save_figure
from zoo.record.confusion import confusion_counts
from zoo.record.drawing import _glyphs, figure_pixels, font_families
from zoo.record.histogram import spread


def read(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0, "images": 0}).Reload()


def test_attention_is_an_image(tmp_path: Path) -> None:
    with Recorder(tmp_path, console=False) as recorder:
        recorder.attention(5, "bat", np.eye(3, dtype=np.float32), ["b", "a", "t"], ["B", "AE", "T"])
    (image,) = read(tmp_path).Images("attention/bat")
    assert image.step == 5
    assert image.width > 100
    assert image.height > 100


def test_darker_means_more_attention() -> None:
    pixels = figure_pixels(attention_figure(np.eye(2), ["a", "b"], ["A", "B"])).astype(int).sum(-1)
    height, width = pixels.shape
    first, second = pixels[: height // 2], pixels[height // 2 :]
    darkest = [
        np.unravel_index(half.argmin(), half.shape)[1] for half in (first[:, width // 4 :], second[:, width // 4 :])
    ]
    assert darkest[0] < darkest[1]


@pytest.mark.parametrize(
    "tokens",
    [["가", "ᄀ", "漢"], ["ə", "\u02c8", "ʧ"], ["$x$", "$", "$\\frac$"], ["\n", " ", "\x00"], ["🙂", "हि", ""]],
)
def test_any_token_can_be_drawn_without_a_warning(tokens: list[str], tmp_path: Path) -> None:
    save_figure(attention_figure(np.full((3, 3), 1 / 3), tokens, tokens), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_drawing_needs_neither_display_nor_torch(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from zoo.record import attention_figure, save_figure;"
        "assert not {'matplotlib', 'torch'} & set(sys.modules);"
        "save_figure(attention_figure(np.eye(1), ['a'], ['b']), sys.argv[1]);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)


def test_weights_and_tokens_must_agree() -> None:
    with pytest.raises(
        ValueError, match=r"`weights` must be \(target tokens, source tokens\) \(1, 2\), but is \(2, 1\)"
    ):
        attention_figure(np.ones((2, 1)), ["a", "b"], ["c"])


def test_the_phonetic_alphabet_is_in_the_default_font() -> None:
    assert font_families("pʰa\u026a\u032f\u02c8tʃə") == ["DejaVu Sans"]


def test_characters_missing_there_are_taken_from_an_installed_font() -> None:
    default = _glyphs(findfont("DejaVu Sans"))
    char = next(chr(code) for code in sorted(_glyphs(findfont("STIXGeneral")) - default))
    first, second = font_families("a" + char)
    assert first == "DejaVu Sans"
    assert ord(char) in _glyphs(findfont(second))


def test_histograms_tell_how_many_numbers_lie_where(tmp_path: Path) -> None:
    values = np.concatenate([np.zeros(75), np.linspace(0.5, 1, 25), [np.nan, np.inf]]).astype(np.float32)
    with Recorder(tmp_path, console=False) as recorder:
        recorder.histograms(3, {"activations/a": values, "activations/none": np.array([np.nan])})
    events = read(tmp_path)
    assert events.Tags()["histograms"] == ["activations/a"]
    (found,) = events.Histograms("activations/a")
    told = found.histogram_value
    assert (found.step, told.num, told.min, told.max, sum(told.bucket)) == (3, 100, 0, 1, 100)
    assert told.bucket[0] == 75
    assert told.sum == pytest.approx(25 * 0.75)


@settings(deadline=None)
@given(st.integers(1, 60_000))
def test_numbers_of_a_histogram_are_spread_over_the_whole_tensor(size: int) -> None:
    found = spread(np.arange(size, dtype=np.float32))
    assert min(size, 5000) <= len(found) <= 10_000
    assert found[0] == 0
    assert found[-1] >= size - size / len(found) - 1


def test_confusion_counts_true_labels_in_rows() -> None:
    counts = confusion_counts(np.array([0, 0, 1, 2, -100]), np.array([0, 1, 1, 0, 2]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    figure_pixels(confusion_figure(counts, ["가", "$x", "a" * 50]))
    with pytest.raises(ValueError, match=r"`counts` must be \(labels, labels\) \(2, 2\), but is \(3, 3\)"):
        confusion_figure(counts, ["a", "b"])


def test_points_are_files_that_the_projector_finds(tmp_path: Path) -> None:
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    cloud = Cloud("states", np.array([[0.123456, 1], [-2e-7, 3]]), {"text": ["a\tb\n", "x" * 200], "label": [1, "가"]})
    with Recorder(tmp_path, console=False) as recorder:
        recorder.points([cloud])
        recorder.points([cloud])
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (found,) = config.embeddings
    assert (tmp_path / found.tensor_path).read_text() == "0.1235\t1\n-2e-07\t3\n"
    lines = [line.split("\t") for line in (tmp_path / found.metadata_path).read_text().splitlines()]
    assert lines == [["text", "label"], ["a\u2409b\u240a", "1"], ["x" * 100 + "\u2026", "가"]]


def test_points_that_find_no_room_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "projector").write_text("in the way")
    with Recorder(tmp_path) as recorder:
        recorder.points([Cloud("states", np.eye(2), {"a": [1, 2], "b": [1, 2]})])
        recorder.points([Cloud("states", np.eye(2), {"a": [1, 2], "b": [1, 2]})])
    assert capsys.readouterr().err.count("warning: TensorBoard's projector") == 1

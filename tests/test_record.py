"""What a run leaves behind is read back with TensorBoard's own reader."""

import errno
import html
import io
import json
import os
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.font_manager import findfont
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

import zoo.record.recorder
from zoo.config import ClassifierConfig, MovieReviewsConfig, TrainConfig
from zoo.record import (
    Cloud,
    Recorder,
    attention_figure,
    confusion_figure,
    flat_options,
    progress,
    sample_table,
    save_figure,
    show,
)
from zoo.record.confusion import confusion_counts
from zoo.record.drawing import _glyphs, figure_pixels, font_families
from zoo.record.histogram import spread
from zoo.record.text import epoch_line, visible

with warnings.catch_warnings():  # TensorBoard carries a html5lib that warns of itself
    warnings.filterwarnings("ignore", "html5lib's sanitizer is deprecated", DeprecationWarning)
    from tensorboard.plugin_util import markdown_to_safe_html

VALUES = {
    "train_loss": 0.5,
    "train_accuracy": 0.8,
    "valid_loss": 0.75,
    "valid_accuracy": 0.7,
    "valid_sequence_error_rate": 0.4,
    "bleu_signature": "nrefs:1",
    "lr": 0.002,
    "seconds": 12.34,
}


def read(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0, "images": 0}).Reload()


def scalar(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(tag)]


def text(events: EventAccumulator, tag: str) -> str:
    return str(events.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val[0].decode())


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def cells(markdown: str) -> list[list[str]]:
    """Return what a reader sees in each cell of each row, as TensorBoard renders and cleans it."""
    rows = re.findall(r"<tr>(.*?)</tr>", markdown_to_safe_html(markdown), re.S)[1:]
    found = [re.findall(r"<td>(.*?)</td>", row, re.S) for row in rows]
    assert all("<" not in cell.replace("<br>", "").replace("<br />", "") for row in found for cell in row)
    return [[html.unescape(cell) for cell in row] for row in found]


def test_steps_become_curves(tmp_path: Path) -> None:
    with Recorder(tmp_path, console=False) as recorder:
        recorder.step(step=20, loss=2.5, lr=0.1, grad_norm=3.0, tokens_per_second=5000.0)
        recorder.step(step=40, loss=1.5, lr=0.2, grad_norm=None, tokens_per_second=6000.0)
    events = read(tmp_path)
    assert scalar(events, "step/loss") == [(20, 2.5), (40, 1.5)]
    assert scalar(events, "step/grad_norm") == [(20, 3.0)]
    assert {"step/lr", "step/tokens_per_second"} <= set(events.Tags()["scalars"])


def test_an_epoch_is_curves_a_json_line_and_a_line_to_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = VALUES | {"train_loss": torch.tensor(0.5), "valid_loss": np.float32(0.75)}
    with Recorder(tmp_path, total=9) as recorder:
        recorder.epoch(epoch=3, step=120, values=values)
    captured = capsys.readouterr()  # before TensorBoard's reader logs
    events = read(tmp_path)
    assert set(events.Tags()["scalars"]) == {
        "loss/train", "loss/valid", "accuracy/train", "accuracy/valid", "valid/sequence_error_rate", "epoch/lr",
        "epoch/seconds",
    }  # fmt: skip
    assert scalar(events, "loss/valid") == [(120, 0.75)]
    assert lines(tmp_path) == [{"epoch": 3, "step": 120, **VALUES}]
    assert list(lines(tmp_path)[0])[:2] == ["epoch", "step"]
    line = "epoch 3/9: loss 0.5 (valid 0.75), accuracy 0.8 (valid 0.7), sequence_error_rate 0.4, lr 0.002, 12.3 s"
    assert (captured.out, captured.err) == ("", line + "\n")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d " + re.escape(line) + "\n", (tmp_path / "train.log").read_text()
    )


def test_an_epoch_line_is_readable_at_once(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, console=False)
    recorder.epoch(epoch=1, step=10, values=VALUES)
    assert len(lines(tmp_path)) == 1
    assert scalar(read(tmp_path), "loss/train") == [(10, 0.5)]
    recorder.close()


def test_metrics_are_json_even_when_training_diverges(tmp_path: Path) -> None:
    with Recorder(tmp_path, console=False) as recorder:
        recorder.epoch(epoch=1, step=1, values={"train_loss": float("nan"), "valid_loss": float("inf")})
    assert lines(tmp_path) == [{"epoch": 1, "step": 1, "train_loss": None, "valid_loss": None}]


def test_epoch_lines_need_neither_total_nor_validation() -> None:
    assert epoch_line(2, 0, {"train_loss": 1.0, "valid_ece": 0.25}) == "epoch 2: loss 1, ece 0.25"


def test_resuming_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    with Recorder(tmp_path, console=False) as first:
        for epoch in (1, 2, 3):
            first.step(step=10 * epoch, loss=float(epoch))
            first.step(step=10 * epoch + 1, loss=5.0)
            first.epoch(epoch=epoch, step=10 * epoch, values=VALUES)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "st')
    with Recorder(tmp_path, purge_step=20, console=False) as second:
        second.step(step=25, loss=9.0)
        second.epoch(epoch=3, step=30, values={"train_loss": 0.25})
    assert [line.get("epoch", line.get("resumed_at_step")) for line in lines(tmp_path)] == [1, 2, 20, 3]
    assert lines(tmp_path)[2] == {"resumed_at_step": 20}
    assert scalar(read(tmp_path), "step/loss") == [(10, 1.0), (11, 5.0), (20, 2.0), (25, 9.0)]
    assert scalar(read(tmp_path), "loss/train") == [(10, 0.5), (20, 0.5), (30, 0.25)]


def test_a_second_resume_keeps_only_the_resumptions_that_still_hold(tmp_path: Path) -> None:
    for step in (20, 30, 25):
        Recorder(tmp_path, purge_step=step, console=False).close()
    assert lines(tmp_path) == [{"resumed_at_step": 20}, {"resumed_at_step": 25}]


def test_samples_are_a_table_with_all_references(tmp_path: Path) -> None:
    with Recorder(tmp_path, console=False) as recorder:
        recorder.samples(7, [("a|b", "`x` <b>", ["one", "two"]), ("밥", "pap̚", "pap̚")])
    table = text(read(tmp_path), "samples")
    assert cells(table) == [["a|b", "`x` <b>", "one<br>two"], ["밥", "pap̚", "pap̚"]]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec=None), max_size=12), min_size=3, max_size=3))
@example(["\ufffe", "\ufdd0", "\U0001ffff"])
@example(["a\nb", "| --- |", "```\ncode"])
@example(["<script>x</script>", "[a](http://b)", "![i](j) &amp; &#1;"])
@example(["  two  spaces ", "\t\x00\x7f\x85\ud800", "1. *a* _b_ ~~c~~ \\| \u2028"])
def test_any_text_survives_the_table(row: list[str]) -> None:
    shown = ["".join(map(visible, part)) for part in row]
    assert cells(sample_table([(row[0], row[1], row[2])])) == [shown]


def test_control_characters_are_visible() -> None:
    assert "".join(map(visible, "a\n\x00\x7f\x9f")) == "a\u240a\u2400\u2421\ufffd"


def test_the_config_is_shown_as_it_is(tmp_path: Path) -> None:
    yaml = "model:\n  name: transformer\n# *not* <b>bold</b>\n```\nlist: [1, 2]"
    with Recorder(tmp_path, console=False) as recorder:
        recorder.config(yaml)
    shown = markdown_to_safe_html(text(read(tmp_path), "config"))
    assert html.unescape(re.sub(r"</?(pre|code)>", "", shown)).strip() == yaml


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


def test_hparams_go_into_the_one_event_file(tmp_path: Path) -> None:
    options = {"optimizer.lr": 0.1, "model.kernel_sizes": [3, 4], "run": None, "compile": True, "name": "x"}
    with Recorder(tmp_path, console=False) as recorder:
        recorder.step(step=4, loss=1.0)
        recorder.hparams(options, {"test/accuracy": 0.75, "test/signature": "text"})
    assert len(list(tmp_path.rglob("events.out.tfevents.*"))) == 1
    events = read(tmp_path)
    assert scalar(events, "hparam/test/accuracy") == [(4, 0.75)]
    data = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    shown = HParamsPluginData.FromString(data).session_start_info.hparams
    assert shown["optimizer.lr"].number_value == 0.1
    assert (shown["model.kernel_sizes"].string_value, shown["run"].string_value) == ("[3, 4]", "null")
    assert shown["compile"].string_value == "true"


def columns_of(run: Path) -> tuple[list[str], list[str]]:
    """Return the options that TensorBoard's table shows in front, and the metrics in their order."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = read(run).summary_metadata["_hparams_/experiment"].plugin_data.content
    told = HParamsPluginData.FromString(data).experiment
    return [info.name for info in told.hparam_infos if info.differs], [info.name.tag for info in told.metric_infos]


@pytest.mark.parametrize(("swept", "front"), [
    ((), {"dataset.name", "model.name", "optimizer.lr", "optimizer.name", "seed"}),
    (("clip", "model.dropout"), {"clip", "model.dropout", "dataset.name", "model.name", "optimizer.lr"}),
])  # fmt: skip
def test_the_table_of_runs_has_in_front_what_a_sweep_varies(tmp_path: Path, swept: tuple[str], front: set[str]) -> None:
    with Recorder(tmp_path, console=False) as recorder:
        recorder.hparams(flat_options(TrainConfig()), {"valid_accuracy": 0.5}, swept=swept,
                         known=["valid_bleu", "valid_accuracy"])  # fmt: skip
    options, metrics = columns_of(tmp_path)
    assert set(options) == front
    assert metrics == ["hparam/valid_accuracy", "hparam/valid_bleu"]


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


def test_all_runs_have_the_same_flat_options() -> None:
    first = flat_options(TrainConfig())
    second = flat_options(TrainConfig(model=ClassifierConfig(), dataset=MovieReviewsConfig()))
    assert list(first) == list(second)
    assert (first["model.nhead"], first["model.encoder"], second["model.encoder"]) == (4, None, "cnn")
    assert {"seed", "optimizer.lr", "dataset.name"} <= set(first)
    assert not {"run_dir", "resume", "model"} & set(first)


def test_a_full_disk_is_warned_of_once_and_training_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.record.recorder, "_without_links", lambda path, flags: os.open("/dev/full", flags))
    with Recorder(tmp_path) as recorder:
        for epoch in (1, 2):
            recorder.epoch(epoch=epoch, step=epoch, values={"train_loss": 1.0})
    err = capsys.readouterr().err.splitlines()
    assert [line for line in err if line.startswith("epoch")] == ["epoch 1: loss 1", "epoch 2: loss 1"]
    warned = [line for line in err if line.startswith("warning")]
    assert len(warned) == 2
    assert all("cannot be written (No space left on device); training goes on without it" in line for line in warned)


def test_a_dead_event_file_is_warned_of_once_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = threading.excepthook
    recorder = Recorder(tmp_path)
    monkeypatch.setattr(RecordWriter, "write", full)
    for step in range(30):
        recorder.step(step=step, loss=1.0)
    recorder.epoch(epoch=1, step=30, values={"train_loss": 1.0})
    recorder.samples(30, [("a", "b", "c")])
    recorder.attention(30, "a", np.ones((1, 1)), ["a"], ["b"])
    recorder.hparams({"a": 1}, {"b": 1.0})
    recorder.close()
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2
    assert "TensorBoard's event file" in err[0]
    assert "No space left on device" in err[0]
    assert err[1].startswith("epoch 1")
    assert lines(tmp_path)[0]["step"] == 30
    assert threading.excepthook is before


class HalfWritten:
    """A file that takes half of what it is given, as one on a disk that fills up."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> "HalfWritten":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, data: bytes) -> int:
        return int(self.file.write(data[: len(data) // 2]))


def test_a_broken_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorder(tmp_path, console=False) as recorder:
        recorder.epoch(epoch=1, step=1, values={})
        half: Any = lambda *words, **options: HalfWritten(open(*words, **options))  # noqa: E731, SIM115
        monkeypatch.setattr(zoo.record.recorder, "open", half, raising=False)
        recorder.epoch(epoch=2, step=2, values={})
        monkeypatch.undo()
        recorder.epoch(epoch=3, step=3, values={})
    assert [line["epoch"] for line in lines(tmp_path)] == [1, 3]


def test_a_console_that_went_away_does_not_stop_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    with Recorder(tmp_path) as recorder:
        recorder.note("first")
        recorder.note("second")
    assert (tmp_path / "train.log").read_text().count("\n") == 2


def test_closing_twice_does_no_harm_and_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    recorder = Recorder(tmp_path, console=False)
    recorder.close()
    recorder.close()
    recorder.step(step=1, loss=1.0)
    assert threading.active_count() == before


def test_bars_are_quiet_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress([1, 2], desc="decoding")) == [1, 2]
    assert capsys.readouterr().err == ""


def test_bars_show_loss_speed_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(total=4, desc="epoch 1", enabled=True) as bar:
        show(bar, loss=1.23456, tokens_per_second=5580.4)
        bar.update(2)
        bar.refresh()
    shown = capsys.readouterr().err
    assert "epoch 1" in shown
    assert "loss 1.235, 5,580 tokens/s" in shown
    assert "2/4" in shown
    assert re.search(r"<\d\d:\d\d", shown)

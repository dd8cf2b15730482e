"""What a run leaves behind, curves, lines, tables and options, is read back with TensorBoard's own reader."""

import html
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zoo.config import ClassifierConfig, MovieReviewsConfig, TrainConfig
from zoo.record import Recorder, flat_options, progress, sample_table, show
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


def test_all_runs_have_the_same_flat_options() -> None:
    first = flat_options(TrainConfig())
    second = flat_options(TrainConfig(model=ClassifierConfig(), dataset=MovieReviewsConfig()))
    assert list(first) == list(second)
    assert (first["model.nhead"], first["model.encoder"], second["model.encoder"]) == (4, None, "cnn")
    assert {"seed", "optimizer.lr", "dataset.name"} <= set(first)
    assert not {"run_dir", "resume", "model"} & set(first)


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

"""Exported models: programs of any batch and time, equal to the model, whole or not there, usable without us."""

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
import torch
from torch import nn

import zoo.export
from zoo.cli import run as command
from zoo.config import TrainConfig
from zoo.config import model_config as options
from zoo.data import Codec, PairSizes, TextSizes, Vocab
from zoo.data.tokenize import PLAIN
from zoo.errors import ConfigError
from zoo.experiment import open_run, train
from zoo.export import UnequalError, export, formats, proof, replaced
from zoo.export.files import describe_codec, special_tokens
from zoo.export.programs import Part, parts_of, trace
from zoo.models import build_model

Toy = Callable[..., TrainConfig]
ROOT = Path(__file__).parents[1]
SEQUENCE = {"d_model": 8, "nhead": 2, "num_encoder_layers": 2, "num_decoder_layers": 1, "dim_feedforward": 8}
RECURRENT = {"embedding_size": 4, "hidden_size": 8}
TEXT = {"embedding_size": 8, "hidden_size": 8}
SIZES = [(1, 1), (2, 1), (1, 5), (4, 9)]
"""Batches and times to run a program with, none those that it was traced with."""
slow = pytest.mark.slow


class Stub:
    """What `parts_of` reads of a run: a model with random weights, none of which is zero."""

    def __init__(self, name: str, sizes: Any, **choices: Any) -> None:
        torch.manual_seed(0)
        self.config = TrainConfig(model=options(name, choices))
        self.model = build_model(self.config.model, sizes).eval()
        for weight in self.model.parameters():
            nn.init.normal_(weight, std=0.3)
        self.coding = type("Coding", (), {"sizes": sizes})


def texts(batch: int, time: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return padded ids (batch, time) and their lengths, of which one is the whole time."""
    lengths = torch.randint(1, time + 1, (batch,))
    lengths[0] = time
    ids = torch.randint(1, 20, (batch, time))
    return ids * (torch.arange(time) < lengths[:, None]), lengths


def run_as(part: Part, kind: str, directory: Path) -> formats.Program:
    """Write a part, and load it again."""
    path = directory / f"{part.name}{formats.FORMATS[kind].suffix}"
    formats.WRITERS[kind](part, path)
    return formats.OPENERS[kind](path)


def assert_equal_everywhere(stub: Stub, kind: str, directory: Path) -> None:
    """Compare the programs of a model with the model, for batches and times of several sizes."""
    parts = parts_of(stub)  # type: ignore[arg-type]
    programs = [run_as(part, kind, directory) for part in parts]
    for batch, time in SIZES:
        ids, lengths = texts(batch, time)
        with torch.no_grad():
            if len(programs) == 1:
                expected, found = stub.model(ids, lengths), programs[0](ids, lengths)[0]
            else:
                tgt_in = torch.randint(1, 20, (batch, 1 if time == 5 else 4))
                memory, *states = programs[0](ids, lengths)
                expected, found = stub.model(ids, lengths, tgt_in), programs[1](tgt_in, memory, lengths, *states)[0]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


CLASSIFIERS = [
    ("classifier", {"encoder": "bag"}),
    ("classifier_functional", {"encoder": "cnn", "kernel_sizes": [1, 4]}),
    ("classifier", {"encoder": "transformer", "nhead": 2}),
    pytest.param("classifier", {"encoder": "rnn", "bidirectional": False}, marks=slow),
    pytest.param("classifier", {"encoder": "gru", "pooling": "max"}, marks=slow),
    pytest.param("classifier", {"encoder": "lstm", "num_layers": 2, "pooling": "mean_max"}, marks=slow),
]
SEQUENCES = [
    ("transformer", SEQUENCE),
    ("transformer", {**SEQUENCE, "norm": "post", "positions": "learned", "activation": "gelu"}),
    ("transformer", {**SEQUENCE, "positions": "rotary", "activation": "swiglu"}),
    ("seq2seq", {**RECURRENT, "cell": "gru"}),
    ("seq2seq", {**RECURRENT, "cell": "lstm", "num_layers": 2, "attention": "general"}),
    ("seq2seq", {**RECURRENT, "cell": "rnn", "attention": "none", "bidirectional": False}),
    ("seq2seq", {**RECURRENT, "attention": "additive"}),
]
KINDS = ["torch", pytest.param("onnx", marks=slow)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "choices"), CLASSIFIERS)
def test_the_program_of_a_classifier_equals_it_for_any_batch_and_time(
    name: str, choices: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    assert_equal_everywhere(Stub(name, TextSizes(20, 3), **TEXT, **choices), kind, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ngrams", [1, 3])
def test_the_program_of_a_linear_model_finds_the_same_runs_by_the_same_hash(
    ngrams: int, kind: str, tmp_path: Path
) -> None:
    buckets = {"buckets": 1000} if ngrams > 1 else {}
    assert_equal_everywhere(Stub("linear", TextSizes(20, 3), ngrams=ngrams, **buckets), kind, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torch", "onnx"])
@pytest.mark.parametrize(("name", "choices"), SEQUENCES)
def test_encoder_and_decoder_equal_a_sequence_model_for_any_batch_and_time(
    name: str, choices: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    assert_equal_everywhere(Stub(name, PairSizes(20, 20), **choices), kind, tmp_path)


def test_a_program_refuses_a_text_that_is_longer_than_the_model_takes() -> None:
    (part,) = parts_of(Stub("classifier", TextSizes(20, 3), encoder="bag", max_length=6))  # type: ignore[arg-type]
    module = trace(part).module()
    module(torch.ones(2, 6, dtype=torch.int64), torch.tensor([6, 3]))
    with pytest.raises((AssertionError, RuntimeError), match="6"):
        module(torch.ones(2, 7, dtype=torch.int64), torch.tensor([7, 3]))


@pytest.fixture
def transformer(here: Path, toy: Toy) -> Path:
    """Train a Transformer for a moment."""
    return Path(train(toy(run_dir="runs/one", model=options("transformer", SEQUENCE)))["run_dir"])


def test_an_export_is_proved_described_and_replaced_by_the_next(
    transformer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "last", "--format", "torch"]
    assert command(words) == 0
    out = capsys.readouterr().out
    assert re.search(r"^equal  8 of 8 texts of the valid part; logits differ by at most \S+ \(allowed: 0.0001\)$", out,
                     re.MULTILINE)  # fmt: skip
    made = Path("runs/one-torch")
    about = json.loads((made / "export.json").read_text())
    assert about["programs"]["decoder"]["outputs"] == [
        {"name": "logits", "dtype": "float32", "shape": ["batch", "time", 8]}
    ]
    assert about["special_ids"] == {"pad": 0, "unk": 1, "bos": 2, "eos": 3}
    assert json.loads((made / "src.vocab.json").read_text())[:4] == list(about["special_tokens"].values())
    assert about["proof"]["equal_outputs"] == 8
    assert {file.name for file in made.iterdir()} == {
        "encoder.pt2", "decoder.pt2", "src.vocab.json", "tgt.vocab.json", "export.json",
    }  # fmt: skip
    (made / "old").touch()
    assert command(words) == 0
    assert not (made / "old").exists()
    assert sorted(path.name for path in Path("runs").iterdir()) == ["one", "one-torch"]


@pytest.mark.parametrize("changes", [
    {}, {"norm": "post", "activation": "gelu", "positions": "learned"},
    {"activation": "swiglu", "num_encoder_layers": 1},
], ids=str)  # fmt: skip
def test_ctranslate2_equals_each_transformer_that_it_holds(here: Path, toy: Toy, changes: dict[str, Any]) -> None:
    train(toy(run_dir="run", model=options("transformer", {**SEQUENCE, **changes})))
    found = export("run", "ctranslate2").proof
    assert found["equal_outputs"] + found["ties"] == found["texts"] == 8
    assert found["largest_difference"] < 1e-4


def test_int8_stands_beside_fp32_and_leaves_the_model_as_it_was(
    transformer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["export", str(transformer), "--format", "ctranslate2", "--quantize", "int8", "--out", "small"]) == 0
    assert re.search(r"^fp32 .*error_rate.*\nint8 .*error_rate.*$", capsys.readouterr().out, re.MULTILINE)
    about = json.loads(Path("small/export.json").read_text())
    assert about["quantization"] == "int8"
    valid = json.loads((transformer / "results.json").read_text())["valid"]
    rates = about["proof"]["error_rates"]
    assert rates["fp32"]["token_error_rate"] == pytest.approx(valid["token_error_rate"])
    assert set(rates["int8"]) == set(rates["fp32"])


def test_what_differs_is_a_defect_and_is_not_kept(
    transformer: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(path: Path) -> formats.Program:
        found = formats.open_torch(path)
        return lambda *inputs: tuple(one + 0.001 for one in found(*inputs))

    monkeypatch.setitem(formats.OPENERS, "torch", wrong)
    assert commands.inside("export", str(transformer), "--format", "torch") == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "the export differs from the model: logits by 0.00" in err
    assert [path.name for path in Path("runs").iterdir()] == ["one"]


def test_what_a_killed_export_left_is_deleted_by_the_next(here: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    for name in (f".made.{gone.stdout.strip()}.tmp", f".made.{os.getppid()}.tmp", ".other.1.tmp"):
        (here / name).mkdir()
    with replaced(here / "made") as directory:
        (directory / "model").touch()
    assert sorted(path.name for path in here.iterdir()) == [f".made.{os.getppid()}.tmp", ".other.1.tmp", "made"]


def test_outputs_may_part_only_where_the_model_itself_is_undecided() -> None:
    given = proof.Texts(["a"], [], "of a test")
    tie = proof.judge_answers([proof.Answer([4], [5], 1e-6, 1e-5)], given)
    assert (tie["equal_outputs"], tie["ties"]) == (0, 1)
    for wrong in (([5], 1e-6, 0.1), ([5], 1e-6, math.nan), ([4], 0.1, math.inf), ([4], math.nan, math.inf)):
        with pytest.raises(UnequalError, match="the export differs from the model"):
            proof.judge_answers([proof.Answer([4], *wrong)], given)


def test_the_margin_is_that_of_the_first_symbol_that_differs() -> None:
    logits = torch.tensor([[0.0, 5.0, 1.0, 2.0, 0.0], [0.0, 1.0, 1.5, 3.0, 0.0]])
    assert proof.margin_of(logits, [1], [1, 2]) == 1.5  # the model ends where the other goes on
    assert proof.margin_of(logits, [1], [1]) == float("inf")


def test_without_the_data_texts_are_made_of_the_vocabulary(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.train_labels(here) == 0
    (here / "labelled.tsv").unlink()
    capsys.readouterr()
    assert command(["export", "labels", "--format", "torch"]) == 0
    captured = capsys.readouterr()
    assert "equal  200 of 200 texts made of the vocabulary" in captured.out
    assert "the validation part cannot be read" in captured.err


def test_an_error_is_one_line_with_the_way_out(
    transformer: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("full").mkdir()
    Path("full/mine.txt").touch()
    Path("file").touch()
    train(toy(run_dir="recurrent"))
    train(toy(run_dir="rotary", model=options("transformer", {**SEQUENCE, "positions": "rotary"})))
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxruntime" else name)
    told = {
        ("last",): (2, "name a format: --format torch, onnx, ctranslate2"),
        ("last", "--format", "pickle"): (2, "argument --format: invalid choice: 'pickle'"),
        ("nothing", "--format", "torch"): (4, "nothing: no such run"),
        ("last", "--format", "torch", "--out", "full"): (2, "full is there and no export; name another directory"),
        ("last", "--format", "torch", "--out", "file"): (2, "file is there and no export; name another directory"),
        ("last", "--format", "torch", "--out", "file/in"): (6, "file/in: cannot be written (Not a directory)"),
        ("last", "--format", "torch", "--quantize", "int8"): (2, "--quantize int8 goes with --format ctranslate2"),
        ("last", "--format", "onnx"): (2, "--format onnx needs onnxruntime: pip install 'zoo[export]'"),
        ("recurrent", "--format", "ctranslate2"): (2, "CTranslate2 holds model=transformer alone; export it with"),
        ("rotary", "--format", "ctranslate2"): (2, "CTranslate2 holds no encoder with model.positions=rotary"),
    }
    capsys.readouterr()
    for words, (code, message) in told.items():
        assert commands.inside("export", *words) == code, words
        assert message in commands.one_error(capsys.readouterr().err)
    assert Path("full/mine.txt").exists()


def test_a_model_of_another_kind_is_refused() -> None:
    stub = Stub("seq2seq", PairSizes(20, 20), **RECURRENT)
    stub.model = nn.Linear(1, 1)
    with pytest.raises(ConfigError, match="cannot be exported; of sequence models seq2seq and transformer can"):
        parts_of(stub)  # type: ignore[arg-type]


def test_input_feeding_is_refused() -> None:
    stub = Stub("seq2seq", PairSizes(20, 20), **RECURRENT, input_feeding=True)
    with pytest.raises(ConfigError, match="input_feeding=true cannot be exported"):
        parts_of(stub)  # type: ignore[arg-type]


def test_reserved_ids_are_spelled_as_no_token_is() -> None:
    codec = Codec(PLAIN["space"](), Vocab(["<s>", "a", "<<pad>>"]))
    coding: Any = type("Coding", (), {"codecs": {"src": codec, "tgt": codec}})
    assert list(special_tokens(coding).values()) == ["<<<pad>>>", "<<<unk>>>", "<<<s>>>", "<<</s>>>"]


@pytest.mark.parametrize("kind", ["word", "char_word"])
def test_words_are_split_as_the_description_says(kind: str) -> None:
    codec = Codec(PLAIN[kind](), Vocab(["a"]))
    text = 'He said: "It\'s (not) bad!"<br />Well; so-so, 1.5?\tÄ'
    found = text.lower()
    for pattern, replacement in describe_codec(codec, "text")["word"]["replacements"]:
        found = re.sub(pattern, replacement, found)
    words = found.split()
    assert codec.split(text) == (words if kind == "word" else [*text, *(f" {word}" for word in words)])


BLOCKED = "import sys; sys.modules['zoo'] = None; exec(compile(open(sys.argv[1]).read(), sys.argv[1], 'exec'))"
EXAMPLES = {"torch": "g2p-en", "onnx": "sentiment-en", "ctranslate2": "runs/words"}
"""The run of each example on the page, in their order."""


def without_zoo(script: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script where importing this package fails."""
    return subprocess.run([sys.executable, "-c", BLOCKED, str(script)], capture_output=True, text=True, check=False,
                          env=commands.environment())  # fmt: skip


def run_example(kind: str) -> tuple[str, str]:
    """Export the run of a format's example and run it; return what it prints, and what the page says that it does."""
    assert command(["export", EXAMPLES[kind], "--format", kind]) == 0
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```\n+```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    code, told = examples[list(EXAMPLES).index(kind)]
    Path("example.py").write_text(code, encoding="utf-8")
    done = without_zoo(Path("example.py"))
    assert done.returncode == 0, done.stderr
    return done.stdout, told


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_the_example_of_an_installed_model_runs_without_this_package(kind: str, here: Path) -> None:
    printed, told = run_example(kind)
    assert printed == told


@pytest.mark.slow
def test_the_example_of_ctranslate2_prints_what_the_run_predicts(here: Path) -> None:
    assert command(["train", "run_dir=runs/words", "dataset.limit=500", "max_steps=40"]) == 0  # minutes on the page
    printed, _ = run_example("ctranslate2")
    answers = open_run("runs/words", device="cpu").predict(["neuroscience", "zebra", "a"], beam=1)
    assert printed.splitlines() == [answer.text for answer in answers]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_recurrent_model_is_loaded_without_this_package(kind: str, here: Path, toy: Toy) -> None:
    train(toy(run_dir="run", model=options("seq2seq", {**RECURRENT, "cell": "lstm"})))
    export("run", kind)
    src, lengths = np.array([[4, 5, 3], [6, 3, 0]]), np.array([3, 2])
    np.savez("inputs.npz", src=src, lengths=lengths)
    opening = {
        "torch": "import torch\nrun = torch.export.load('run-torch/encoder.pt2').module()\n"
        "out = [one.detach().numpy() for one in run(torch.from_numpy(src), torch.from_numpy(lengths))]\n",
        "onnx": "import onnxruntime\nrun = onnxruntime.InferenceSession('run-onnx/encoder.onnx')\n"
        "out = run.run(None, {'src': src, 'src_lengths': lengths})\n",
    }
    code = (
        f"import numpy as np\nsrc, lengths = np.load('inputs.npz').values()\n{opening[kind]}np.savez('out.npz', *out)\n"
    )
    Path("example.py").write_text(code, encoding="utf-8")
    done = without_zoo(Path("example.py"))
    assert done.returncode == 0, done.stderr
    state: Any = open_run("run", device="cpu").model
    with torch.no_grad():
        expected = state.encode(torch.from_numpy(src), torch.from_numpy(lengths))
    found = list(np.load("out.npz").values())
    for one, other in zip(found, (expected.memory.outputs, *expected.hidden), strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-6)


def test_the_formats_of_the_command_are_those_of_the_package() -> None:
    from zoo.cli.export import FORMATS

    assert tuple(zoo.export.FORMATS) == FORMATS

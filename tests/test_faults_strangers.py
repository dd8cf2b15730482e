"""Nothing in a file from a stranger runs, writes elsewhere or is taken for what it is not."""

import io
import json
import os
import pickle
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import PATIENCE, TOY, environment, inside, one_error, train_labels, train_pairs, zoo

from zoo.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from zoo.config import TrainConfig
from zoo.errors import CheckpointError
from zoo.experiment.words import ended_early, last_words, less_memory
from zoo.training import LoopState

Capture = pytest.CaptureFixture[str]
FILES = ["config.yaml", "results.json", "vocabulary/coding.json", "vocabulary/src.json", "vocabulary/src.vocab.json",
         "vocabulary/src.model", "checkpoints/best.safetensors"]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run with a model of sentencepiece; return its directory."""
    path = tmp_path_factory.mktemp("trained")
    assert train_pairs(path, "dataset.src_tokenizer=bpe", "dataset.vocab_size=12") == 0
    return path / "pairs"


@pytest.fixture
def stranger(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of a run, to be tampered with."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def codes(run: Path, capfd: Capture) -> set[int]:
    """Use a run in each way; return the exit codes, after a check that each failure was one line."""
    (run.parent / "in").write_text("ab\n")
    found = set()
    for words in (["predict", str(run), str(run.parent / "in")], ["evaluate", str(run), "--split", "valid"],
                  ["train", f"resume={run}", "epochs=9", "max_steps=9"]):  # fmt: skip
        capfd.readouterr()
        code = inside(*words)
        err = capfd.readouterr().err
        assert "Traceback" not in err, err
        assert code == 0 or err.splitlines()[-1].startswith("error: "), err
        found.add(code)
    return found


class Bomb:
    """What makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


def bombs(mark: Path) -> list[bytes]:
    """Return a pickle as pickle and as torch write it."""
    packed = io.BytesIO()
    torch.save({"model": Bomb(mark)}, packed)
    return [pickle.dumps(Bomb(mark)), pickle.dumps(Bomb(mark), protocol=0), packed.getvalue()]


def test_the_bombs_go_off_where_they_are_unpickled(tmp_path: Path) -> None:
    for bomb in bombs(tmp_path / "mark")[:2]:
        pickle.loads(bomb)
        (tmp_path / "mark").rmdir()


@pytest.mark.parametrize("name", [*FILES, "checkpoints/step-"])
def test_a_pickle_in_the_place_of_any_file_of_a_run_never_runs(stranger: Path, name: str, capfd: Capture) -> None:
    mark = stranger.parent / "mark"
    for bomb in bombs(mark):
        for path in stranger.glob(f"{name}*"):
            path.write_bytes(bomb)
        allowed = {"config.yaml": {2, 4}, "results.json": {0, 4}, "checkpoints/best.safetensors": {0, 4},
                   "checkpoints/step-": {0, 4}}.get(name, {0, 3})  # fmt: skip
        found = codes(stranger, capfd)
        assert found <= allowed
        assert found & {2, 3, 4} or name == "results.json"
        assert not mark.exists()


def test_a_pickle_inside_of_a_checkpoint_never_runs(stranger: Path, capfd: Capture) -> None:
    mark = stranger.parent / "mark"
    for path in list_checkpoints(stranger / "checkpoints"):
        saved = load_checkpoint(path)
        tensors = {
            **saved.tensors,
            "optimizer.0.exp_avg": torch.frombuffer(bytearray(bombs(mark)[0]), dtype=torch.uint8),
        }
        save_checkpoint(path, tensors, {**saved.state, "optimizer": bombs(mark)[1].decode("latin-1")})
    assert 4 in codes(stranger, capfd)
    assert not mark.exists()


@pytest.mark.slow
def test_the_real_command_ends_with_4_at_a_bomb(stranger: Path) -> None:
    mark = stranger.parent / "mark"
    (stranger / "checkpoints" / "best.safetensors").write_bytes(bombs(mark)[2])
    done = zoo("predict", str(stranger), cwd=stranger.parent, text="ab\n")
    assert (done.returncode, done.stdout) == (4, "")
    assert "best.safetensors: not a readable checkpoint" in one_error(done.stderr)
    assert not mark.exists()


CONFIGS: list[tuple[str, Callable[[str], str]]] = [
    ("_target_ on top", lambda text: f"_target_: os.mkdir\n{text}"),
    ("_target_ in a group", lambda text: text.replace("model:\n", "model:\n  _target_: os.mkdir\n  path: mark\n")),
    ("_target_ as a value", lambda text: text.replace("seed: 1", "seed: {_target_: os.mkdir, path: mark}")),
    ("a python tag", lambda text: text.replace("seed: 1", "seed: !!python/object/apply:os.mkdir [mark]")),
    ("a resolver", lambda text: text.replace("monitor: auto", "monitor: ${oc.env:HOME}")),
    ("a resolver in a path", lambda text: text.replace("valid: ''", "valid: ${oc.env:HOME}/x.tsv")),
    ("an interpolation", lambda text: text.replace("seed: 1", "seed: ${epochs}")),
    ("an alias bomb", lambda text: "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)) + text),
    ("nested lists", lambda text: "[" * 100_000),
    ("a date that is none", lambda text: text.replace("seed: 1", "seed: 2001-99-99")),
    ("a long number", lambda text: text.replace("seed: 1", f"seed: {'1' * 9999}")),
    ("a name that is a list", lambda text: text.replace("name: seq2seq", "name: [seq2seq]")),
    ("a large file", lambda text: text + "#" * 2_000_000),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change"), CONFIGS, ids=[name for name, _ in CONFIGS])
def test_what_a_saved_config_asks_for_is_refused_and_not_done(
    stranger: Path, name: str, change: Callable[[str], str], capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stranger.parent)
    path, begun = stranger / "config.yaml", time.monotonic()
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    assert codes(stranger, capfd) <= {2, 4}
    assert time.monotonic() - begun < 60
    assert sorted(path.name for path in stranger.parent.iterdir()) == ["in", "run"]


@pytest.mark.parametrize("key", ["_target_", "_recursive_"])
def test_a_checkpoint_that_names_a_target_is_refused(stranger: Path, key: str, capfd: Capture) -> None:
    for path in (stranger / "checkpoints").iterdir():
        saved = load_checkpoint(path)
        save_checkpoint(path, saved.tensors, {**saved.state, "more": [{key: "os.mkdir", "path": "mark"}]})
    assert 4 in codes(stranger, capfd)
    with pytest.raises(CheckpointError, match=f"holds `{key}`"):
        load_checkpoint(stranger / "checkpoints" / "best.safetensors")


def archives(directory: Path) -> list[Path]:
    """Make archives that would write elsewhere, point elsewhere or swell."""
    member, link = tarfile.TarInfo("../../evil"), tarfile.TarInfo("link")
    member.size, link.type, link.linkname = 1, tarfile.SYMTYPE, "/etc/passwd"
    for name, mode in (("x.tar", "w"), ("x.tar.gz", "w:gz")):
        with tarfile.open(directory / name, mode) as tar:  # type: ignore[call-overload]
            tar.addfile(member, io.BytesIO(b"x"))
            tar.addfile(link)
    with zipfile.ZipFile(directory / "x.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("/tmp/absolute", "x")
        packed.writestr("zeros", b"\0" * 10_000_000)
    return [directory / "x.tar", directory / "x.tar.gz", directory / "x.zip"]


def test_archives_are_refused_as_data_and_as_runs_and_nothing_is_unpacked(tmp_path: Path, capfd: Capture) -> None:
    made = archives(tmp_path)
    for path in made:
        assert inside("train", "dataset=pairs", f"dataset.train={path}") == 3
        assert path.name in one_error(capfd.readouterr().err)
        assert inside("predict", str(path)) == 4
        one_error(capfd.readouterr().err)
    assert sorted(tmp_path.iterdir()) == sorted(made)


@pytest.mark.parametrize("name", [".lock", "train.log"])
def test_links_in_a_run_do_not_lead_writing_elsewhere(stranger: Path, name: str, capfd: Capture) -> None:
    victim = stranger.parent / "victim"
    victim.write_text("mine\n")
    (stranger / name).unlink(missing_ok=True)
    (stranger / name).symlink_to(victim)
    assert inside("train", f"resume={stranger}", "epochs=9", "max_steps=9") == (6 if name == ".lock" else 0)
    assert victim.read_text() == "mine\n"


@pytest.mark.parametrize("name", FILES)
def test_devices_pipes_and_circles_are_no_files_of_a_run(stranger: Path, name: str, capfd: Capture) -> None:
    path, lines = stranger / name, stranger.parent / "in"
    lines.write_text("ab\n")
    for put in (lambda: os.symlink("/dev/zero", path), lambda: os.mkfifo(path), lambda: os.symlink(path.name, path)):
        path.unlink()
        put()
        if name != "results.json":  # which predicting does not read
            assert inside("predict", str(stranger), str(lines)) in (3, 4)
            one_error(capfd.readouterr().err)


@pytest.mark.slow
def test_training_opens_no_port_and_connects_to_nothing(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "def hook(event, args):\n"
        "    if event in ('socket.bind', 'socket.connect', 'socket.listen', 'urllib.Request'): os._exit(99)\n"
        "sys.addaudithook(hook)\n"
        f"from zoo.cli import run\nsys.exit(run(['train', *{TOY!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True,
                          text=True, timeout=PATIENCE, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "look   tensorboard --logdir runs --host localhost"
    (run,) = (tmp_path / "runs" / "copy-seq2seq").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", run.name)


def test_a_name_is_quoted_for_the_shell_where_a_line_is_to_be_typed(tmp_path: Path, capfd: Capture) -> None:
    assert train_labels(tmp_path, f"run_dir={tmp_path}/a b;touch c") == 0
    out, err = capfd.readouterr()
    assert f"tensorboard --logdir '{tmp_path}/a b;touch c' --host localhost" in out
    assert f"continue with: zoo-train 'resume={tmp_path}/a b;touch c' max_steps=0" in err


def test_every_line_that_says_how_to_go_on_can_be_typed() -> None:
    state, run = LoopState(), Path("a b;touch c")
    lines = [
        last_words(3, run),
        ended_early("max_steps=3", 0, "loss", run),
        less_memory(TrainConfig(), state, run),
    ]
    for line in lines:
        command = shlex.split(line.partition("continue with: ")[2])
        assert command[:2] == ["zoo-train", "resume=a b;touch c"]


def container(header: Any, data: bytes = b"\0" * 8, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def entry(begin: int, end: int, *, dtype: str = "F32", shape: list[int] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [2] if shape is None else shape, "data_offsets": [begin, end]}


HOSTILE = {
    "a header of 2^63 bytes": container({}, size=2**63),
    "a header of 99 MB that is not there": container({}, size=99_000_000),
    "overlapping offsets": container({"a": entry(0, 8), "b": entry(4, 12)}),
    "offsets beyond the end": container({"a": entry(0, 8), "b": entry(8, 2**40)}),
    "offsets backwards": container({"a": entry(8, 0)}),
    "a shape that overflows": container({"a": entry(0, 16, shape=[2**40, 2**40])}),
    "a shape below zero": container({"a": entry(0, 16, shape=[-1])}),
    "an unknown type": container({"a": entry(0, 16, dtype="PICKLE")}),
    "no JSON": container(b"{" * 50_000),
    "metadata of numbers": container({"__metadata__": {"format": 1}, "a": entry(0, 8)}),
    "a version with many digits": container({"__metadata__": {"format": "9" * 9999, "state": "{}"}, "a": entry(0, 8)}),
    "a version that is no number": container({"__metadata__": {"format": "\u0663", "state": "{}"}, "a": entry(0, 8)}),
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE.values(), ids=list(HOSTILE))
def test_a_hostile_container_is_refused_at_once(stranger: Path, content: bytes, capfd: Capture) -> None:
    path, begun = stranger / "checkpoints" / "best.safetensors", time.process_time()
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"best\.safetensors"):
        load_checkpoint(path)
    assert time.process_time() - begun < 2
    assert 4 in codes(stranger, capfd)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(stranger: Path, value: float, capfd: Capture) -> None:
    for path in (stranger / "checkpoints").iterdir():
        saved = load_checkpoint(path)
        name = next(name for name in saved.tensors if name.startswith("model."))
        saved.tensors[name].view(-1)[0] = value
        save_checkpoint(path, saved.tensors, saved.state)
    assert codes(stranger, capfd) == {4}
    assert inside("predict", str(stranger), str(stranger.parent / "in")) == 4
    assert "holds NaN or infinity" in one_error(capfd.readouterr().err.splitlines()[-1] + "\n")

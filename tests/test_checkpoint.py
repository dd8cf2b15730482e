"""A checkpoint is whole, verified and exact, or it is refused by name."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo import checkpoint
from zoo.checkpoint import (
    load_checkpoint,
    load_newest,
    load_optimizer,
    load_weights,
    model_tensors,
    optimizer_tensors,
    save_checkpoint,
)
from zoo.config import OPTIMIZERS
from zoo.data import PairSizes
from zoo.errors import CheckpointError, StorageError
from zoo.migration import CHECKPOINT
from zoo.models import create_model
from zoo.optim import HANDWRITTEN, build_optimizer
from zoo.storage import list_checkpoints, prune, step_path, write_durably

DTYPES = [
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def tensors(draw: Any) -> Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    values = torch.randint(-100, 100, shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    tensor = (values / 7).to(draw(st.sampled_from(DTYPES)))
    return tensor.transpose(0, -1) if draw(st.booleans()) and tensor.dim() > 1 else tensor


def bits(tensor: Tensor) -> tuple[torch.dtype, tuple[int, ...], bytes]:
    flat = tensor.detach().contiguous().reshape(-1)
    return tensor.dtype, tuple(tensor.shape), flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=9), tensors(), max_size=4), st.dictionaries(st.text(), JSON))
def test_any_tensors_and_state_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, named: dict[str, Tensor], state: dict[str, Any]
) -> None:
    named.pop("__metadata__", None)
    path = tmp_path_factory.mktemp("checkpoint") / "a.safetensors"
    save_checkpoint(path, named, state)
    loaded = load_checkpoint(path)
    assert loaded.state == state
    assert {name: bits(tensor) for name, tensor in loaded.tensors.items()} == {
        name: bits(tensor) for name, tensor in named.items()
    }


def test_infinities_and_nans_keep_their_bits(tmp_path: Path) -> None:
    odd = torch.tensor([float("nan"), float("inf"), -0.0])
    save_checkpoint(tmp_path / "a", {"odd": odd}, {})
    assert bits(load_checkpoint(tmp_path / "a").tensors["odd"]) == bits(odd)


def test_a_part_is_its_tensors_without_the_prefix() -> None:
    one = torch.zeros(1)
    saved = checkpoint.Checkpoint({"model.a.b": one, "models.c": one, "ema.a.b": one}, {})
    assert list(saved.part("model")) == ["a.b"]


def small(tmp_path: Path, *, step: int = 1, value: float = 1.0) -> Path:
    path = step_path(tmp_path, step)
    save_checkpoint(path, {"w": torch.full((3,), value)}, {"step": step, "word": "é"})
    return path


def test_a_file_with_any_one_bit_flipped_is_refused(tmp_path: Path) -> None:
    path = small(tmp_path)
    content = path.read_bytes()
    version = content.index(b'"format":"1"') + len('"format":"')
    unnoticed = []
    for bit in [*range(version * 8, version * 8 + 8), *range(0, len(content) * 8, 7)]:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            load_checkpoint(path)
            unnoticed.append(bit)
        except CheckpointError as error:
            unnoticed += [] if str(path) in str(error) else [bit]
    assert not unnoticed


def test_a_file_cut_anywhere_or_filled_with_zeros_is_refused(tmp_path: Path) -> None:
    path = small(tmp_path)
    content = path.read_bytes()
    broken = [content[:length] for length in range(0, len(content), 5)]
    broken += [content[:length] + bytes(len(content) - length) for length in range(0, len(content) - 4, 5)]
    broken += [content[:-1], content + b"\0", b""]
    for damaged in broken:
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=str(path)):
            load_checkpoint(path)


def test_the_newest_intact_checkpoint_is_loaded_and_each_damaged_one_named(tmp_path: Path) -> None:
    small(tmp_path, step=1)
    small(tmp_path, step=2)
    for step, damage in ((3, lambda text: text[:-2]), (4, lambda text: bytes(len(text)))):
        path = small(tmp_path, step=step)
        path.write_bytes(damage(path.read_bytes()))
    warnings_seen: list[str] = []
    assert load_newest(tmp_path, warn=warnings_seen.append).state["step"] == 2
    assert [str(step_path(tmp_path, step)) in line for step, line in zip((4, 3), warnings_seen, strict=True)] == [
        True
    ] * 2
    assert all(line.endswith("; using the one before") for line in warnings_seen)


def test_where_all_are_damaged_or_none_is_there_loading_fails(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint there"):
        load_newest(tmp_path / "nowhere")
    small(tmp_path, step=1).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-00000001\.safetensors: not a readable checkpoint"):
        load_newest(tmp_path)


def test_the_highest_step_wins_whatever_the_clock_says(tmp_path: Path) -> None:
    for step, age in ((9, 0), (100_000_000, 500), (10, 100)):
        os.utime(small(tmp_path, step=step), (1e9 - age, 1e9 - age))
    (tmp_path / "step-x.safetensors").write_text("not one")
    (tmp_path / ".step-00000099.safetensors.1.tmp").write_text("left by a crash")
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "step-100000000.safetensors",
        "step-00000010.safetensors",
        "step-00000009.safetensors",
    ]
    assert load_newest(tmp_path).state["step"] == 100_000_000


def test_pruning_keeps_the_newest_and_clears_what_a_crash_left(tmp_path: Path) -> None:
    for step in (1, 2, 30):
        small(tmp_path, step=step)
    (tmp_path / ".step-00000099.safetensors.1.tmp").write_text("")
    save_checkpoint(tmp_path / "best.safetensors", {}, {})
    prune(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.safetensors",
        "step-00000002.safetensors",
        "step-00000030.safetensors",
    ]


def test_what_is_no_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    (tmp_path / "pickle").write_bytes(pickle.dumps(Bomb()))
    torch.save({"w": torch.zeros(2)}, tmp_path / "torch")
    (tmp_path / "text").write_text("weights, honestly\n" * 9)
    save_file({"w": torch.zeros(2)}, tmp_path / "foreign")
    (tmp_path / "directory").mkdir()
    for name, reason in {
        "pickle": "not a readable checkpoint",
        "torch": "not a readable checkpoint",
        "text": "not a readable checkpoint",
        "foreign": "a safetensors file, but not a checkpoint of the zoo",
        "directory": "no checkpoint there",
        "missing": "no checkpoint there",
    }.items():
        with pytest.raises(CheckpointError, match=f"{name}: {reason}"):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_a_newer_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKPOINT, 1, lambda pair: pair)
    path = small(tmp_path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"format 2 is newer than this zoo reads \(1\); upgrade zoo"):
        load_checkpoint(path)


@pytest.mark.parametrize("stage", ["open", "fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_crash_while_saving_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, failure: BaseException
) -> None:
    path = small(tmp_path)

    def fail(*arguments: Any, **options: Any) -> Any:
        raise failure

    if stage == "open":
        monkeypatch.setattr("builtins.open", fail)
    else:
        monkeypatch.setattr(os, stage, fail)
    with pytest.raises((StorageError, KeyboardInterrupt)) as caught:
        small(tmp_path, value=2.0)
    monkeypatch.undo()
    if isinstance(failure, OSError):
        assert [file.name for file in tmp_path.iterdir()] == [path.name]
        assert "No space left on device" in str(caught.value)
        assert " bytes needed, " in str(caught.value)
        assert " free)" in str(caught.value)
    assert load_checkpoint(path).tensors["w"].tolist() == [1.0, 1.0, 1.0]
    assert load_newest(tmp_path).state["step"] == 1
    prune(tmp_path, keep=1)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_content_is_on_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        events.append("directory" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    def noted_replace(source: Any, target: Any) -> None:
        events.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_durably(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"
    assert [event for event in events if event != "directory"] == ["file", "name"]
    assert events[0] != "directory"
    assert events[-1] != "name"


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"below/a: cannot be written .*; make room, or choose another place"):
        write_durably(tmp_path / "file" / "below" / "a", b"")


def transformer(d_model: int = 8, **options: Any) -> nn.Module:
    sizes = PairSizes(9, 9, options.pop("shared", False))
    small: dict[str, Any] = {"nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 8}
    return create_model("transformer", sizes=sizes, d_model=d_model, **{**small, "max_length": 8, **options})


def test_tied_weights_are_saved_once_and_stay_tied(tmp_path: Path) -> None:
    model, other = transformer(shared=True), transformer(shared=True)
    saved = model_tensors(model)
    assert len(model.state_dict()) - len(saved) == 2
    save_checkpoint(tmp_path / "a", saved, {})
    load_weights(other, load_checkpoint(tmp_path / "a").tensors, source="a")
    assert other.output.weight is other.src_embedding.table.weight
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


def test_weights_of_another_model_are_refused_and_nothing_is_changed() -> None:
    model = transformer()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    weights = model_tensors(transformer())
    short = {name: weight for name, weight in weights.items() if name != "output.bias"}
    long = {**weights, "extra": torch.zeros(1)}
    wide = {**weights, "output.bias": torch.zeros(12)}
    for tensors, message in (
        (short, "a: has no weight 'output.bias'; it was made by another model"),
        (long, "a: holds an unknown weight 'extra'; it was made by another model"),
        (wide, r"a: weight 'output.bias' has shape \(12,\), but the model needs \(9,\); use the config"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_weights(model, tensors, source="a")
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    model(x).square().sum().backward()
    optimizer.step()


def layers() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))


NAMES = [(name, False) for name in OPTIMIZERS] + [(name, True) for name in HANDWRITTEN]


@pytest.mark.parametrize(("name", "handwritten"), NAMES)
def test_an_optimizer_goes_on_to_the_same_bits(tmp_path: Path, name: str, handwritten: bool) -> None:
    config = OPTIMIZERS[name](name=name, weight_decay=0.01, lr=0.01, **({"handwritten": True} if handwritten else {}))
    model = layers()
    optimizer = build_optimizer(config, model)
    for seed in range(7):
        step(model, optimizer, seed)
    parts, rest = optimizer_tensors(optimizer)
    save_checkpoint(tmp_path / "a", parts, json.loads(json.dumps(rest)))
    again = layers()
    again.load_state_dict(model.state_dict())
    restored = build_optimizer(config, again)
    saved = load_checkpoint(tmp_path / "a")
    load_optimizer(restored, saved.tensors, saved.state)
    for seed in range(7, 11):
        step(model, optimizer, seed)
        step(again, restored, seed)
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert bits(ours) == bits(theirs)
    before, after = optimizer_tensors(optimizer), optimizer_tensors(restored)
    assert {name: bits(value) for name, value in before[0].items()} == {
        name: bits(value) for name, value in after[0].items()
    }
    assert json.dumps(before[1]) == json.dumps(after[1])


def test_the_state_of_another_optimizer_is_refused() -> None:
    config = OPTIMIZERS["adam"]()
    model = layers()
    parts, rest = optimizer_tensors(build_optimizer(config, model))
    other = build_optimizer(config, nn.Linear(2, 2, bias=False))
    with pytest.raises(CheckpointError, match=r"the optimizer's state does not fit .*; resume with the same optimizer"):
        load_optimizer(other, parts, rest)

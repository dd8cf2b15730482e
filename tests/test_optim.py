"""Every optimizer by name, and which parameters decay."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoo import config, optim
from zoo.config import OPTIMIZERS
from zoo.optim import HANDWRITTEN, build_optimizer, parameter_groups


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads wait for each other longer than these sizes take to compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4, padding_idx=0)
        self.rnn = nn.LSTM(4, 4, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.square_norm = nn.LayerNorm([3, 4])
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True, batch_first=True)
        self.output = nn.Linear(4, 7)
        self.output.weight = self.embedding.weight
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        hidden = self.square_norm(self.norm(self.rnn(self.embedding(text))[0]))
        return self.output(self.attention(hidden, hidden, hidden)[0] * self.scale)  # type: ignore[no-any-return]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    text = torch.tensor([[1, 2, 3], [4, 5, 6]])
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(text).flatten(0, 1), text.flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def net() -> Net:
    torch.manual_seed(0)
    return Net()


def test_only_matrices_and_embeddings_decay() -> None:
    model = net()
    decay, rest = parameter_groups(model, weight_decay=0.5)
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    assert {name_of[parameter] for parameter in decay["params"]} == {
        "embedding.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "attention.in_proj_weight",
        "attention.out_proj.weight",
    }  # fmt: skip
    assert {name_of[parameter] for parameter in rest["params"]} == {
        "rnn.bias_ih_l0", "rnn.bias_hh_l0", "norm.weight", "norm.bias", "square_norm.weight", "square_norm.bias",
        "attention.in_proj_bias", "attention.bias_k", "attention.bias_v", "attention.out_proj.bias", "output.bias",
        "scale",
    }  # fmt: skip
    assert (decay["weight_decay"], rest["weight_decay"]) == (0.5, 0.0)


def test_tied_parameters_stand_in_one_group_once() -> None:
    params = [p for group in parameter_groups(net(), weight_decay=0.1) for p in group["params"]]
    assert len(params) == len(set(params))


def test_a_model_without_trainable_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="no parameters to train; is `requires_grad` False everywhere"):
        parameter_groups(nn.Linear(2, 2).requires_grad_(False), weight_decay=0.0)


def test_a_model_of_vectors_alone_is_one_group() -> None:
    assert len(parameter_groups(nn.LayerNorm(3), weight_decay=0.1)) == 1


def test_config_and_builders_name_the_same_optimizers() -> None:
    assert list(optim.OPTIMIZERS) == list(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_its_options_and_improves(name: str) -> None:
    model = net()
    optimizer = build_optimizer(OPTIMIZERS[name](name=name, weight_decay=0.01), model)
    losses = train(model, optimizer, 15)
    assert losses[-1] < losses[0]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nesterov", {"nesterov": True, "momentum": 0.8}), ("momentum", {"nesterov": False, "momentum": 0.8})],
)
def test_momentum_and_nesterov_differ_in_torch_flag(name: str, expected: dict[str, Any]) -> None:
    group = build_optimizer(OPTIMIZERS[name](momentum=0.8), net()).param_groups[0]
    assert {key: group[key] for key in expected} == expected


@pytest.mark.parametrize("name", sorted(optim.FUSED["cpu"]))
def test_fused_steps_equal_the_plain_ones(name: str) -> None:
    a, b = net().double(), net().double()
    options = OPTIMIZERS[name](name=name, weight_decay=0.02)
    fused, plain = build_optimizer(options, a), build_optimizer(options, b)
    assert all(group["fused"] for group in fused.param_groups)
    for group in plain.param_groups:
        group["fused"] = False
    train(a, fused, 5)
    train(b, plain, 5)
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", HANDWRITTEN)
def test_handwritten_true_builds_ours_and_trains_like_torch(name: str) -> None:
    a, b = net().double(), net().double()
    ours = build_optimizer(OPTIMIZERS[name](name=name, handwritten=True, weight_decay=0.02), a)
    theirs = build_optimizer(OPTIMIZERS[name](name=name, weight_decay=0.02), b)
    assert type(ours) is HANDWRITTEN[name]
    assert train(a, ours, 5) == pytest.approx(train(b, theirs, 5), rel=1e-9)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_reloaded_optimizer_continues_to_the_same_bits(name: str) -> None:
    options = OPTIMIZERS[name](name=name)
    model = net()
    first = build_optimizer(options, model)
    train(model, first, 3)
    twin = copy.deepcopy(model)
    second = build_optimizer(options, twin)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert train(model, first, 3) == train(twin, second, 3)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown optimizer 'adamm'; did you mean 'adam'"):
        build_optimizer(config.AdamConfig(name="adamm"), net())
    with pytest.raises(
        ValueError, match=r"unknown handwritten optimizer 'radam'.*choices: sgd, momentum, adagrad, rmsprop, adam"
    ):
        build_optimizer(config.AdamConfig(name="radam", handwritten=True), net())


def test_the_page_for_students_tells_the_true_defaults() -> None:
    page = (Path(__file__).parents[1] / "docs" / "optimizers.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\| `\w+(?:\(\w+\))?` \| ([\d.]+) \|.*\| (?:`(\w+)`)? ?\|$", page, re.M)
    written = {name: (float(lr), by_hand) for name, lr, by_hand in rows}
    made = {name: HANDWRITTEN[name].__name__ if name in HANDWRITTEN else "" for name in OPTIMIZERS}  # type: ignore[attr-defined]
    assert written == {name: (cls().lr, made[name]) for name, cls in OPTIMIZERS.items()}


def test_options_offer_the_handwritten_optimizers_that_there_are() -> None:
    offered = {name for name, cls in config.OPTIMIZERS.items() if hasattr(cls(), "handwritten")}
    assert offered == set(HANDWRITTEN)

"""How fast a model trains and decodes here, and how near that comes to what the machine's matrix products reach."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zoo.config import TorchtextConfig, TrainConfig, TransformerConfig
from zoo.data import Data, Loader, build_data
from zoo.data.batch import Batch
from zoo.data.corpus import PairCorpus, TextCorpus
from zoo.errors import ConfigError
from zoo.evaluation import DTYPES, Decoding, decode, probabilities
from zoo.experiment import Run, open_run
from zoo.experiment.learner import Learner
from zoo.experiment.machine import choose_device, choose_precision, describe_machine, prepare_libraries, seed_all
from zoo.models import count_parameters
from zoo.record import progress
from zoo.training import training

Shape = tuple[int, int, int]
"""A matrix product: rows, inner width, outer width."""
STEPS, SECONDS = 20, 5.0
"""Training steps of a measurement where nobody says how many: the most, and how long they may take."""


class Spread(NamedTuple):
    """The median of several measurements, the least and the most."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values))


def alternate(tasks: Mapping[str, Callable[[], float]], *, repeats: int, warmup: int = 1) -> dict[str, list[float]]:
    """Call the tasks in turn, round after round, and return what each of them gave in each round.

    A machine that slows down for a while slows the tasks of a round alike, so ratios within a round stay true. The
    first `warmup` rounds are dropped.
    """
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in progress(range(warmup + repeats), desc="measuring", total=warmup + repeats, unit="round"):
        for name, task in tasks.items():
            value = task()
            if turn >= warmup:
                found[name].append(value)
    return found


class TrainingTask:
    """Train a learner for some steps each time it is called, and return non-padding target tokens a second.

    The steps are those of a training, through `zoo.training.training`, on the next batches of the loader.
    """

    def __init__(self, learner: Learner, loader: Any, *, precision: str, steps: int) -> None:
        self.learner, self.loader, self.precision, self.steps = learner, loader, precision, steps
        self.device = next(learner.model.parameters()).device
        self.epoch = 0
        self._batches: Iterator[Batch] = iter(())

    def __call__(self) -> float:
        batches = list(islice(self._endless(), self.steps))
        learner, config = self.learner, self.learner.config
        begun = time.perf_counter()
        training(
            learner.state.epoch + 1,
            learner.forward,
            batches,
            [],
            optimizer=learner.optimizer,
            label_smoothing=config.label_smoothing,
            rdrop=config.rdrop,
            schedule=learner.rate,
            clip=config.clip,
            device=self.device,
            precision=self.precision,
            scaler=learner.scaler,
            ema=learner.ema,
            state=learner.state,
        )
        return sum(batch.tokens for batch in batches) / (time.perf_counter() - begun)

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self._batches
            self.epoch += 1
            self.loader.set_epoch(self.epoch)
            self._batches = iter(self.loader)


def enough_steps(task: TrainingTask) -> int:
    """Return how many steps of a training, of two at least, fit the time of a measurement; `task` takes one."""
    task()  # the first step prepares what later ones find
    begun = time.perf_counter()
    task()
    return max(2, min(STEPS, int(SECONDS / (time.perf_counter() - begun))))


def loader_seconds(loader: Loader, *, epoch: int = 1) -> float:
    """Return how long all batches of an epoch take to plan and to cut."""
    begun = time.perf_counter()
    loader.set_epoch(epoch)
    for _ in loader:
        pass
    return time.perf_counter() - begun


class DecodingTask:
    """Decode sources each time it is called, and return how many a second."""

    def __init__(self, model: nn.Module, corpus: PairCorpus, decoding: Decoding, *, batch_tokens: int, limit: int,
                 device: torch.device, precision: str = "fp32") -> None:  # fmt: skip
        self.model, self.decoding, self.device, self.precision = model, decoding, device, precision
        self.batches = list(corpus.source_loader(batch_tokens, limit=limit))
        self.count = sum(len(rows) for rows, *_ in self.batches)

    def __call__(self) -> float:
        begun = time.perf_counter()
        for _ in decode(self.model, self.batches, self.decoding, device=self.device, precision=self.precision):
            pass
        return self.count / (time.perf_counter() - begun)


def latencies(model: nn.Module, corpus: PairCorpus, decoding: Decoding, *, limit: int, device: torch.device) -> Any:
    """Return the seconds that each of `limit` sources takes when it is decoded alone, after a tenth for warming up."""
    found = []
    for batch in corpus.source_loader(1, limit=limit):  # each source over the budget is a batch of its own
        begun = time.perf_counter()
        list(decode(model, [batch], decoding, device=device))
        found.append(time.perf_counter() - begun)
    order = np.random.default_rng(0).permutation(len(found))
    return np.array(found)[order[len(found) // 10 :]]


def transformer_operations(config: TransformerConfig, tgt_vocab: int, src: Tensor, tgt: Tensor) -> float:
    """Return the useful floating-point operations of a training step, forward and backward.

    src and tgt (batch) are lengths without padding, start or end symbols included as the model meets them. Counted are
    multiply-adds of weight and attention products, two operations each, and the backward pass as twice the forward
    one; of causal attention the half that is not hidden.
    """
    d, inner = config.d_model, config.dim_feedforward * (3 if config.activation == "swiglu" else 2)
    a, b = src.double(), tgt.double()
    encoder = a * (4 * d * d + d * inner) + 2 * a * a * d
    decoder = b * (6 * d * d + d * inner) + a * 2 * d * d + b * (b + 1) * d + 2 * a * b * d
    layers = config.num_encoder_layers * encoder + config.num_decoder_layers * decoder
    return float((layers + b * d * tgt_vocab).sum()) * 2 * 3


def lengths_of(batch: Any) -> tuple[Tensor, Tensor]:
    """Return the lengths (batch) of sources and targets of a batch of pairs, padding left out."""
    return batch.src_lengths, (batch.targets >= 0).sum(1)


def operations_per_token(config: TransformerConfig, tgt_vocab: int, batches: Sequence[Any]) -> float:
    """Return the useful operations of training on these batches over their number of target tokens."""
    operations = sum(transformer_operations(config, tgt_vocab, *lengths_of(batch)) for batch in batches)
    return operations / float(sum(batch.tokens for batch in batches))


def product_shapes(model: nn.Module, batches: Sequence[Any]) -> Counter[Shape]:
    """Return the shapes of the weight products that a model computes for these batches, and how often each occurs."""
    found: Counter[Shape] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows = inputs[0].numel() // inputs[0].size(-1)
        found[rows, inputs[0].size(-1), module.weight.size(0)] += 1  # type: ignore[operator]

    hooks = [part.register_forward_pre_hook(note) for part in model.modules() if isinstance(part, nn.Linear)]
    device = next(model.parameters()).device
    with torch.no_grad():
        for batch in batches:
            model(*batch.to(device).inputs)
    for hook in hooks:
        hook.remove()
    return found


class ProductTask:
    """Compute the products of a training step, forward and both backward ones, and return operations a second.

    The tensors lie ready in the dtype, so this is what a training would reach if nothing but products took time.
    """

    def __init__(self, shapes: Mapping[Shape, int], *, dtype: torch.dtype, device: torch.device) -> None:
        self.device = device
        new = partial(torch.randn, dtype=dtype, device=device)
        self.work = [(new(rows, inner), new(outer, inner), new(rows, outer), times)
                     for (rows, inner, outer), times in shapes.items()]  # fmt: skip
        self.operations = sum(6 * rows * inner * outer * times for (rows, inner, outer), times in shapes.items())

    def __call__(self) -> float:
        _wait(self.device)
        begun = time.perf_counter()
        for x, weight, gradient, times in self.work:
            for _ in range(times):
                torch.mm(x, weight.t())
                torch.mm(gradient, weight)
                torch.mm(gradient.t(), x)
        _wait(self.device)
        return self.operations / (time.perf_counter() - begun)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(config: TrainConfig, *, run: str = "", repeats: int = 5, steps: int | None = None) -> dict[str, Any]:
    """Return how fast a new model of this config trains, and how fast that of `run`, where one is named, decodes.

    A measurement is of `steps` training steps; by default of 20, or of fewer where these take more than five seconds.
    Of figures that were measured several times, the median, the least and the greatest. `product_share` is
    `useful_gflops` over `product_gflops`, of Transformers alone.
    """
    if isinstance(config.dataset, TorchtextConfig):
        raise ConfigError("`dataset=torchtext` has iterators of its own; measure with dataset=pairs or labelled")
    prepare_libraries()
    seed_all(config.seed)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    data = build_data(config)
    learner = Learner(config, data.sizes, device=device, precision=precision)
    loader = Loader(data.sample, batch_tokens=config.batch_tokens, seed=config.seed)
    task = TrainingTask(learner, loader, precision=precision, steps=steps or 1)
    if steps is None:
        task.steps = enough_steps(task)
    figures: dict[str, Any] = {
        "model": f"{config.model.name} on {config.dataset.name}",
        "machine": describe_machine(device, precision),
        "parameters": count_parameters(learner.model),
        **_training_figures(task, data, repeats),
    }
    return figures | (_decoding_figures(open_run(run), data, repeats) if run else {})


def _training_figures(task: TrainingTask, data: Data, repeats: int) -> dict[str, Any]:
    config, model = task.learner.config, task.learner.model
    tasks: dict[str, Callable[[], float]] = {"tokens_per_second": task}
    batches = list(islice(Loader(data.sample, batch_tokens=config.batch_tokens, seed=config.seed), task.steps))
    if isinstance(config.model, TransformerConfig):
        shapes = product_shapes(model, batches)
        products = ProductTask(shapes, dtype=DTYPES.get(task.precision, torch.float32), device=task.device)
        tasks["product_gflops"] = lambda: products() / 1e9
    found = alternate(tasks, repeats=repeats)
    if isinstance(config.model, TransformerConfig):
        each = operations_per_token(config.model, data.sizes[1], batches)
        found["useful_gflops"] = [value * each / 1e9 for value in found["tokens_per_second"]]
        pairs = zip(found["useful_gflops"], found["product_gflops"], strict=True)
        found["product_share"] = [useful / products for useful, products in pairs]
    epoch = float(data.sample.lengths[-1].sum()) / median(found["tokens_per_second"])
    share = loader_seconds(Loader(data.sample, batch_tokens=config.batch_tokens)) / epoch
    return {name: list(Spread.of(values)) for name, values in found.items()} | {"loader_share": share}


def _decoding_figures(run: Run, data: Data, repeats: int) -> dict[str, Any]:
    corpus, setting = data.test or data.valid, run.setting
    if isinstance(corpus, TextCorpus):
        return {"texts_per_second": list(Spread.of([_classified(run, corpus) for _ in range(repeats + 1)][1:]))}
    longest = run.coding.max_output
    tasks = {
        name: DecodingTask(run.model, corpus, Decoding(width, longest), batch_tokens=setting.batch_tokens, limit=1000,
                           device=run.device, precision=setting.precision)
        for name, width in (("greedy_per_second", 1), ("beam_5_per_second", 5))
    }  # fmt: skip
    found = {name: list(Spread.of(values)) for name, values in alternate(tasks, repeats=repeats).items()}
    alone = latencies(run.model, corpus, Decoding(1, longest), limit=200, device=run.device) * 1e3
    return found | {"latency_ms": float(np.median(alone)), "latency_ms_p99": float(np.percentile(alone, 99))}


def _classified(run: Run, corpus: TextCorpus) -> float:
    begun = time.perf_counter()
    probabilities(run.model, corpus, run.setting)
    return len(corpus) / (time.perf_counter() - begun)

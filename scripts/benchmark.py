"""Measure the zoo against other implementations and against the machine, as ratios of alternating runs.

    pip install -e '.[benchmark]' -c constraints.txt
    pip install --no-deps joeynmt==2.3.0             # its own requirements hold back protobuf
    python scripts/benchmark.py                      # everything, about half an hour on two cores
    python scripts/benchmark.py transformer decoding   # some sections
    python scripts/benchmark.py --repeats 1          # to see that it runs

Each row has the zoo's figure, the other's, and the median, least and greatest of their ratios over the rounds. In a
round each implementation does the same work once, so a machine that slows down for a while slows all of them. What is
not installed is reported as absent. Results are printed as Markdown; `--json FILE` keeps them too.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import peers
import torch
from benchmark_data import data, lines, startup
from comparison import Bench, Row, Task, compare, recipe, table
from hardware import processor

from zoo.benchmark import (
    DecodingTask,
    ProductTask,
    Spread,
    TrainingTask,
    latencies,
    operations_per_token,
    product_shapes,
)
from zoo.config import Device, TrainConfig
from zoo.data import Data, Loader, build_data
from zoo.data.build import read_parts
from zoo.data.corpus import PairCorpus, Sequences, TextCorpus
from zoo.data.sizes import PairSizes
from zoo.data.vocab import RESERVED
from zoo.evaluation import DTYPES, Decoding
from zoo.experiment import Run, open_run, train
from zoo.experiment.learner import Learner
from zoo.experiment.machine import choose_device, choose_precision, describe_units, prepare_libraries, seed_all

WORDS = 256
"""Words in a batch of the implementations that cut batches by rows."""

Rows = list[list[int]]


def training_task(config: TrainConfig, data: Data, bench: Bench) -> TrainingTask:
    """Return the zoo's own training of a config."""
    seed_all(config.seed)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    learner = Learner(config, data.sizes, device=device, precision=precision)
    loader = Loader(data.train, batch_tokens=config.batch_tokens, seed=config.seed)
    return TrainingTask(learner, loader, precision=precision, steps=bench.steps)


class PeerTraining:
    """Train another implementation for some steps at each call; return non-padding target tokens a second."""

    def __init__(self, trainer: peers.Trainer, corpus: PairCorpus, bench: Bench, *, grouped: int = 0) -> None:
        self.trainer, self.corpus, self.steps = trainer, corpus, bench.steps
        self.batches = self._grouped(grouped) if grouped else self._random()

    def _random(self) -> Iterator[Any]:
        random = np.random.default_rng(1)
        while True:
            yield random.integers(len(self.corpus), size=WORDS)

    def _grouped(self, batch_tokens: int) -> Iterator[Any]:
        loader = Loader(self.corpus, batch_tokens=batch_tokens, seed=1)
        while True:
            yield from loader.plan()
            loader.set_epoch(loader.epoch + 1)

    def __call__(self) -> float:
        tokens, begun = 0, time.perf_counter()
        for _ in range(self.steps):
            rows = next(self.batches)
            src, tgt = ([side.row(row).tolist() for row in rows] for side in (self.corpus.src, self.corpus.tgt))
            self.trainer.step(src, tgt)
            tokens += sum(len(row) + 1 for row in tgt)
        return tokens / (time.perf_counter() - begun)


def absent(peer: peers.Peer) -> str:
    """Say that a peer is not installed, or return an empty text."""
    try:
        peer.version()
    except ImportError:
        return "absent (pip install -e '.[benchmark]')"
    return ""


def peer_training(peer: peers.Peer, kind: str, sizes: Any, *, corpus: PairCorpus, bench: Bench, grouped: int = 0,
                  **options: str) -> Task | str:  # fmt: skip
    """Return the training of a peer's model, or why there is none; `grouped` tokens make a batch of like lengths."""
    return absent(peer) or PeerTraining(getattr(peer, kind)(sizes, **options), corpus, bench, grouped=grouped)


TRANSFORMER = {"model__d_model": 256, "model__dim_feedforward": 1024, "model__dropout": 0.1, "batch_tokens": 2304}
TOKENS = "target tokens/s"


def transformer(bench: Bench) -> list[Row]:
    """Train a 256-wide Transformer of 3+3 layers on CMUdict, each implementation at its defaults."""
    config = recipe(**TRANSFORMER)
    data = build_data(config)
    sizes = peers.Dimensions(*data.sizes[:2])
    task = partial(peer_training, corpus=data.train, bench=bench)
    others = {
        "textbook nn.Transformer": task(peers.textbook, "TransformerTrainer", sizes),
        "JoeyNMT": task(peers.joeynmt, "TransformerTrainer", sizes),
        "Hugging Face": task(peers.huggingface, "TransformerTrainer", sizes),
        "Hugging Face, bf16, batches of like lengths": task(
            peers.huggingface, "TransformerTrainer", sizes, precision="bf16", grouped=config.batch_tokens
        ),
    }
    zoo = training_task(config, data, bench)
    return compare("train a Transformer (256 wide)", TOKENS, zoo, others, repeats=bench.repeats)


def recurrent(bench: Bench) -> list[Row]:
    """Train LSTMs of hidden size 512: dot attention after the recurrence, and additive attention that feeds it."""
    plain = recipe(model="seq2seq", model__hidden_size=512, batch_tokens=2304)
    feeding = recipe(model="seq2seq", model__hidden_size=512, batch_tokens=2304, model__attention="additive",
                     model__input_feeding="true")  # fmt: skip
    data = build_data(plain)
    sizes = peers.RecurrentDimensions(*data.sizes[:2], hidden_size=512)
    task = partial(peer_training, corpus=data.train, bench=bench)
    others = {"textbook loop": task(peers.textbook, "LuongTrainer", sizes),
              "JoeyNMT": task(peers.joeynmt, "LuongTrainer", sizes)}  # fmt: skip
    rows = compare("train an LSTM with attention (Luong, 512 wide)", TOKENS, training_task(plain, data, bench), others,
                   repeats=bench.repeats)  # fmt: skip
    others = {"textbook loop": task(peers.textbook, "BahdanauTrainer", sizes)}
    return rows + compare("train an LSTM with attention (Bahdanau, 512 wide)", TOKENS,
                          training_task(feeding, data, bench), others, repeats=bench.repeats)  # fmt: skip


def classifiers(bench: Bench) -> list[Row]:
    """Train `bag` and fastText on Rotten Tomatoes, at settings that reach like accuracies on the validation part."""
    choices = {"model": "classifier", "batch_tokens": 16384, "optimizer__lr": 0.015}
    config = recipe(**choices)
    parts = read_parts(config)
    texts, others_texts = ([text.split() for text in part.sources] for part in (parts.train, parts.valid))
    accuracies: dict[str, float] = {}

    def zoo() -> float:
        with TemporaryDirectory() as folder:
            run = Path(folder, "run")
            accuracies["zoo"] = train(recipe(**choices, run_dir=run))["valid"]["accuracy"]
            epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return median(epoch["tokens_per_second"] for epoch in epochs)

    def fasttext() -> float:
        model = peers.fasttext.train(texts, parts.train.targets, dim=300, epochs=10, lr=0.5, threads=2)
        accuracies["fastText"] = model.accuracy(others_texts, parts.valid.targets)
        return float(model.training_words_per_second)

    others: dict[str, Task | str] = {"fastText, 300 wide": absent(peers.fasttext) or fasttext}
    rows = compare("train a `bag` classifier", "words/s", zoo, others, repeats=bench.repeats)
    reached = ", ".join(f"{name} {value:.3f}" for name, value in accuracies.items())
    return [row._replace(work=f"{row.work} (valid accuracy: {reached})") for row in rows]


def texts(bench: Bench) -> list[Row]:
    """Train classifiers on the words of Rotten Tomatoes, cut into texts of 40 tokens, against tutorials' loops."""
    found = []
    for encoder in ("bag", "cnn", "lstm"):
        config = recipe(model="classifier", model__encoder=encoder, batch_tokens=2560)
        read = build_data(config)
        ids = read.train.text.ids
        corpus = TextCorpus(text=Sequences.from_lengths(ids[: len(ids) // 40 * 40], np.full(len(ids) // 40, 40)),
                            labels=np.arange(len(ids) // 40) % 2)  # fmt: skip
        others: dict[str, Task | str] = {}
        if encoder != "bag":  # fastText is what people take for it
            model = config.model
            trainer = peers.texts.Trainer(encoder, *read.sizes, embedding_size=model.embedding_size,
                                          size=model.hidden_size, dropout=model.dropout)  # fmt: skip
            others["textbook loop, batches of 64"] = TextTraining(trainer, corpus, bench)
        zoo = training_task(config, SimpleNamespace(train=corpus, sizes=read.sizes), bench)
        found += compare(f"train a `{encoder}` classifier on 40-token texts", "words/s", zoo, others,
                         repeats=bench.repeats)  # fmt: skip
    return found


class TextTraining:
    """Train a textbook classifier for some steps of 64 random texts at each call; return tokens a second."""

    def __init__(self, trainer: peers.texts.Trainer, corpus: TextCorpus, bench: Bench) -> None:
        self.trainer, self.corpus, self.steps = trainer, corpus, bench.steps
        self.random = np.random.default_rng(1)

    def __call__(self) -> float:
        begun = time.perf_counter()
        for _ in range(self.steps):
            rows = self.random.integers(len(self.corpus), size=64)
            self.trainer.step([self.corpus.text.row(row).tolist() for row in rows], self.corpus.labels[rows].tolist())
        return self.steps * 64 * 40 / (time.perf_counter() - begun)


def trained(bench: Bench) -> tuple[Run, PairCorpus]:
    """Return a Transformer that writes words of true lengths, trained once and kept, and the test part."""
    folder = bench.folder / "transformer"
    config = recipe(**TRANSFORMER, model__norm="post", max_steps=600, valid_limit=100, test_limit=100,
                    run_dir=folder)  # fmt: skip
    if not (folder / "results.json").is_file():
        train(config)
    data = build_data(config)
    assert isinstance(data.test, PairCorpus)
    return open_run(folder), data.test


class PeerDecoding:
    """Decode sources in batches at each call; return sources a second."""

    def __init__(self, translator: Any, batches: list[Rows], *, width: int, longest: int) -> None:
        self.translator, self.batches, self.width, self.longest = translator, batches, width, longest

    def __call__(self) -> float:
        begun = time.perf_counter()
        for batch in self.batches:
            if self.width == 1:
                self.translator.greedy(batch, self.longest)
            else:
                self.translator.beam(batch, self.width, self.longest)
        return sum(map(len, self.batches)) / (time.perf_counter() - begun)


class Decoder(NamedTuple):
    """How another implementation decodes: how many words in a round, in batches of how many, with which options."""

    peer: Any
    words: int
    batch: int
    options: dict[str, Any] = {}  # noqa: RUF012
    widths: tuple[int, ...] = (1, 5)


WORKERS = {"inter_threads": 2, "intra_threads": 1}
DECODERS = {
    "textbook, one word at a time": Decoder(peers.textbook, 30, 1, widths=(1,)),
    "textbook, 100 words at a time": Decoder(peers.textbook, 100, 100, widths=(1,)),
    "JoeyNMT, one word at a time": Decoder(peers.joeynmt, 30, 1),
    "JoeyNMT, 100 words at a time": Decoder(peers.joeynmt, 200, 100),
    "Hugging Face generate": Decoder(peers.huggingface, 1000, 250),
    "CTranslate2 fp32, two workers": Decoder(peers.ctranslate, 5000, 5000, WORKERS),
    "CTranslate2 int8, two workers": Decoder(peers.ctranslate, 5000, 5000, {"compute_type": "int8", **WORKERS}),
}
"""The textbook's decoder reads the whole output again at each step; batches of the others hold like lengths."""


def decoding(bench: Bench) -> list[Row]:
    """Decode words with one set of weights: greedily, and with a beam of 5."""
    run, corpus = trained(bench)
    longest, rows = run.coding.max_output, []
    for width, name in ((1, "greedy"), (5, "beam 5")):
        zoo = DecodingTask(run.model, corpus, Decoding(width, longest), batch_tokens=4096, limit=5000,
                           device=run.device)  # fmt: skip
        others: dict[str, Task | str] = {}
        for label, decoder in DECODERS.items():
            if width in decoder.widths:
                alone = decoder.peer is peers.ctranslate
                others[label] = absent(decoder.peer) or (
                    Apart(label, run.directory.path, width) if alone else peer_decoding(decoder, run, corpus, width)
                )
        rows += compare(f"decode ({name})", "words/s", zoo, others, repeats=bench.repeats)
    return rows


class Apart:
    """Decode in a process of its own, as CTranslate2's threads halve the speed of torch's beside them."""

    def __init__(self, *arguments: Any) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, *arguments), daemon=True).start()

    def __call__(self) -> float:
        self.connection.send(None)
        return float(self.connection.recv())


def serve(connection: Any, label: str, folder: Path, width: int) -> None:
    """Decode each time that something arrives, and send the speed back."""
    run = open_run(folder)
    corpus = build_data(run.config).test
    task = peer_decoding(DECODERS[label], run, corpus, width)
    with suppress(EOFError):  # the benchmark has ended
        while True:
            connection.recv()
            connection.send(task())


def peer_decoding(decoder: Decoder, run: Run, corpus: PairCorpus, width: int) -> Task:
    """Return the decoding of a peer in this process."""
    batches = batches_of(corpus, decoder.words, decoder.batch)
    return PeerDecoding(decoder.peer.Translator(run.model, **decoder.options), batches, width=width,
                        longest=run.coding.max_output)  # fmt: skip


def batches_of(corpus: PairCorpus, count: int, size: int) -> list[Rows]:
    """Return sources, evenly spread over the corpus, by length, in batches of `size`."""
    chosen = np.arange(count) * len(corpus.sources) // count
    chosen = chosen[np.argsort(corpus.sources.lengths[chosen], kind="stable")]
    rows = [corpus.sources.row(row).tolist() for row in chosen]
    return [rows[start : start + size] for start in range(0, count, size)]


def latency(bench: Bench) -> list[Row]:
    """Decode words one at a time."""
    run, corpus = trained(bench)
    rows = []
    for width, name in ((1, "greedy"), (5, "beam 5")):
        found = latencies(run.model, corpus, Decoding(width, run.coding.max_output), limit=200, device=run.device) * 1e3
        middle, late = np.percentile(found, [50, 99])
        rows.append(Row(f"decode one word ({name})", "ms, median and 99th percentile",
                        Spread(float(middle), float(middle), float(late)), "", None, None))  # fmt: skip
    return rows


def limit(bench: Bench) -> list[Row]:
    """Compare the useful operations of a training step with what its matrix products reach alone."""
    small = recipe(**TRANSFORMER)
    large = recipe(model__d_model=512, model__nhead=8, model__dim_feedforward=2048, model__num_encoder_layers=6,
                   model__num_decoder_layers=6, batch_tokens=2304)  # fmt: skip
    rows = share(small, build_data(small), bench)
    return rows + share(large, sentences(10_000), bench._replace(steps=max(bench.steps // 5, 1)))


def share(config: TrainConfig, data: Any, bench: Bench) -> list[Row]:
    """Return the row of one model."""
    task = training_task(config, data, bench)
    batches = list(islice(Loader(data.train, batch_tokens=config.batch_tokens, seed=1), 4 * bench.steps))
    each = operations_per_token(config.model, data.sizes.tgt_vocab, batches)
    shapes = product_shapes(task.learner.model, batches)
    products = ProductTask(shapes, dtype=DTYPES.get(task.precision, torch.float32), device=task.device)
    work = f"useful operations of training, {config.model.d_model} wide"
    return compare(work, f"GFLOP/s in {task.precision}", lambda: task() * each / 1e9,
                   {"its matrix products alone": lambda: products() / 1e9}, repeats=bench.repeats)  # fmt: skip


def sentences(vocabulary: int, *, count: int = 20_000) -> Any:
    """Return pairs as long as Multi30k's sentences (13 words and 4 more or less), of words with Zipf's frequencies."""
    random = np.random.default_rng(1)
    chances = 1 / np.arange(1, vocabulary + 1)

    def side() -> Sequences:
        lengths = np.clip(np.round(random.normal(13, 4, count)), 3, 40).astype(np.int64)
        ids = random.choice(vocabulary, size=int(lengths.sum()), p=chances / chances.sum()) + RESERVED
        return Sequences.from_lengths(ids, lengths)

    sizes = PairSizes(vocabulary + RESERVED, vocabulary + RESERVED)
    return SimpleNamespace(train=PairCorpus(src=side(), tgt=side()), sizes=sizes)


SECTIONS: dict[str, Callable[[Bench], list[Row]]] = {
    "transformer": transformer,
    "recurrent": recurrent,
    "classifiers": classifiers,
    "texts": texts,
    "limit": limit,
    "decoding": decoding,
    "latency": latency,
    "data": data,
    "lines": lines,
    "startup": startup,
}


def machine() -> str:
    """Name what was measured on."""
    found = [f"{peer.NAME} {peer.version()}" for peer in peers.PEERS if not absent(peer)]
    units = describe_units(choose_device(Device.auto))
    return f"{processor()}, {units}; torch {torch.__version__}; {', '.join(found)}"


def main() -> None:
    """Measure the sections that the command line names, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all if none is named"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count, after one to warm up; default: 5")
    parser.add_argument("--steps", type=int, default=20, help="training steps of a round; default: 20")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark"), help="where the trained model is kept")
    parser.add_argument("--lines", type=int, default=1_000_000, help="of the section `lines`; default: 1000000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown section {', '.join(sorted(unknown))} (choices: {', '.join(SECTIONS)})")
    prepare_libraries()
    bench = Bench(options.repeats, options.steps, options.folder, options.lines)
    print(machine(), end="\n\n")
    rows = [row for name in options.sections or SECTIONS for row in SECTIONS[name](bench)]
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": [row._asdict() for row in rows]}, indent=1))


if __name__ == "__main__":
    main()

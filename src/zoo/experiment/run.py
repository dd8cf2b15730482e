"""A finished run, opened to evaluate, predict and draw."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from zoo.checkpoint import load_checkpoint, load_weights
from zoo.config import Precision, TrainConfig, bleu_of
from zoo.data import Coding, describe_notes, load_codecs, read_split
from zoo.data.corpus import Array, Corpus, PairCorpus, Sequences, TextCorpus
from zoo.data.vocab import BOS, EOS, UNK
from zoo.errors import ConfigError, DataError
from zoo.evaluation import Decoding, Outcome, Setting, autocast, decode, judge, log_probabilities, probabilities, search
from zoo.experiment.directory import RunDirectory, run_path
from zoo.experiment.identity import check_digests, vocabulary_digest
from zoo.experiment.machine import choose_device, choose_precision, prepare_libraries
from zoo.models import build_model
from zoo.record import attention_figure, save_figure, warn
from zoo.search import Hypothesis


class Output(NamedTuple):
    """A text that a sequence model gives, its log-probability over length to the power of the penalty, its probability.

    Of runs that vote the probability is the share of the votes.
    """

    text: str
    score: float
    probability: float


class Label(NamedTuple):
    """A classifier's likeliest label, its probability, and the probabilities of all labels."""

    label: str
    probability: float
    probabilities: dict[str, float]

    @property
    def text(self) -> str:
        """The label, as the prediction of any model has a text."""
        return self.label


def labels_of(found: Array, names: Sequence[str]) -> list[Label]:
    """Return the likeliest label of each text from probabilities (texts, labels)."""
    best = found.argmax(1)
    return [
        Label(names[number], float(row[number]), dict(zip(names, row.tolist(), strict=True)))
        for number, row in zip(best.tolist(), found, strict=True)
    ]


def setting_of(config: TrainConfig, coding: Coding, device: torch.device, precision: str) -> Setting:
    """Return how a config's model is measured; on a CPU always in fp32.

    There oneDNN compiles its bf16 products for each shape, and a search has new shapes at every step.
    """
    precision = "fp32" if device.type == "cpu" else precision
    decoding = Decoding(width=config.beam, max_length=coding.max_output, length_penalty=config.length_penalty)
    return Setting(device, precision, config.batch_tokens, decoding, bleu_of(config))


def has_attention(model: nn.Module, config: TrainConfig) -> bool:
    """Whether a model has attention over a source to draw."""
    return hasattr(model, "align") and getattr(config.model, "attention", "") != "none"


def attention_of(
    model: Any, coding: Coding, setting: Setting, source: str, max_length: int
) -> tuple[Array, list[str], list[str]]:
    """Return the attention of the model's output over `source`, (output time, source time), and the tokens of both.

    The source is cut to `max_length`. The end symbols, which the model reads and writes too, are shown as a dot in a
    circle, unknown tokens as a question mark. The output stands in the order of its text, so that from right to left
    its end symbol comes first.
    """
    src, tgt = coding.codecs["src"].vocab, coding.codecs["tgt"].vocab
    src_ids = coding.codecs["src"].encode(source)[:max_length]
    inputs = torch.tensor([[*src_ids, EOS]], device=setting.device), torch.tensor([len(src_ids) + 1])
    model.eval()
    with torch.no_grad(), autocast(setting.device, setting.precision):
        ids = search(model, *inputs, setting.decoding)[0][0].ids
        weights = model.align(*inputs, torch.tensor([[BOS, *ids]], device=setting.device))
    labels = [[*(vocab.token(one) or "?" for one in found), "⊙"] for vocab, found in ((src, src_ids), (tgt, ids))]
    turn = -1 if coding.codecs["tgt"].backwards else 1
    return weights[0].float().cpu().numpy()[::turn], labels[0], labels[1][::turn]


def open_run(name: str | Path, *, device: str = "auto") -> "Run":
    """Open a run by its directory, a file in it, or `last`; CheckpointError where there is none."""
    prepare_libraries()
    return Run(RunDirectory(run_path(str(name))), choose_device(device))


class Run:
    """The best epoch of a training with all that is needed to use it: `model`, `config`, `coding`."""

    def __init__(self, directory: RunDirectory, device: torch.device) -> None:
        self.directory, self.device = directory, device
        self.config = directory.read_config()
        self.coding = load_codecs(directory.vocabulary)
        precision = self.config.precision
        if precision == Precision.fp16 and device.type == "cpu":
            precision = Precision.auto  # trained on a GPU, used without one
        self.setting = setting_of(self.config, self.coding, device, choose_precision(precision, device))
        self.model: nn.Module = build_model(self.config.model, self.coding.sizes).to(device)
        saved = load_checkpoint(directory.best)
        own = {"vocabulary": vocabulary_digest(self.coding.codecs, self.coding.labels)}
        if "vocabulary" in saved.state:  # runs of zoo 0.1.0 have none
            check_digests(saved.state, own, str(directory.vocabulary))
        load_weights(self.model, saved.part("model"), source=str(directory.best))
        self.model.eval()
        self.cut = 0  # texts predicted so far that were longer than the model takes
        self.unknown: Counter[str] = Counter()  # tokens of such texts that the run's vocabulary lacks

    def __repr__(self) -> str:
        return f"Run({str(self.directory.path)!r}, model={self.config.model.name}, dataset={self.config.dataset.name})"

    def _encode(self, side: str, lines: list[str]) -> Sequences:
        """Return the ids of texts, cut to what the model takes; what is cut or unknown is counted."""
        codec, longest = self.coding.codecs[side], self.config.model.max_length
        found = codec.encode_many(lines)
        self.cut += int((found.lengths > longest).sum())
        places = np.flatnonzero(found.ids == UNK)
        for row in np.unique(np.searchsorted(found.offsets, places, side="right") - 1).tolist():
            known = codec.vocab.ids
            self.unknown.update(token for token in codec.split(lines[row]) if token not in known)
        return found.cut(longest)

    def warnings(self) -> list[str]:
        """Return what there is to say of the texts predicted so far, a line each."""
        found = []
        if self.cut:
            found.append(f"{self.cut:,} texts were cut to `model.max_length` ({self.config.model.max_length}) tokens")
        if self.unknown:
            some = ", ".join(ascii(token) if not token.isprintable() else f"'{token}'"
                             for token, _ in self.unknown.most_common(5))  # fmt: skip
            found.append(f"{self.unknown.total():,} tokens are unknown to the run: {some}"
                         + ("..." if len(self.unknown) > 5 else ""))  # fmt: skip
        return found

    def decoding(self, beam: int | None, nbest: int) -> Decoding:
        """Return how to search; ConfigError where the options do not fit the model or each other."""
        if beam is not None and "text" in self.coding.codecs:
            raise ConfigError(
                f"`beam` has no effect on model={self.config.model.name}, which finds labels; leave it out"
            )
        width = beam or max(self.setting.decoding.width, nbest)
        if nbest > width:
            raise ConfigError(f"`nbest` must be at most the beam width ({width}), but is {nbest}; raise beam")
        return self.setting.decoding._replace(width=width, nbest=nbest)

    def read(self, split: str = "test", *, files: Sequence[str] | None = None) -> Corpus:
        """Return the corpus of a part of the run's data, or of `files` (one, or two line-aligned ones) instead."""
        paths = None if files is None else (files[0] if len(files) == 1 else list(files))
        notes: Counter[str] = Counter()
        try:
            corpus = read_split(self.config, self.coding.codecs, self.coding.labels, split, files=paths, notes=notes)
        except DataError as error:
            if files is None and isinstance(error.__cause__, FileNotFoundError):
                raise DataError(f"{error} any more; put it back, or name other files with --data") from error
            raise
        if isinstance(corpus, TextCorpus) and (corpus.labels < 0).all():
            columns = getattr(self.config.dataset, "columns", [0, 1])
            raise DataError(
                f"{files[0] if files else split}: no row has a text and one of the run's labels "
                f"({', '.join(self.coding.labels)}) in its columns {columns}"
            )
        for line in describe_notes(notes) if files else []:
            warn(line)
        return corpus

    def outcome(self, split: str = "test", *, files: Sequence[str] | None = None, beam: int | None = None) -> Outcome:
        """Return what the model makes of each source of a part, or of `files`, and what that is worth."""
        setting = self.setting._replace(decoding=self.decoding(beam, 1))
        corpus = self.read(split, files=files)
        limit = 0 if files else self.config.test_limit
        return judge(self.model, corpus, self.coding.codecs, setting, limit=limit, labels=self.coding.labels)

    def evaluate(
        self, split: str = "test", *, files: Sequence[str] | None = None, beam: int | None = None
    ) -> dict[str, Any]:
        """Return the metrics of a part of the run's data, or of `files` (one, or two line-aligned ones) instead."""
        return self.outcome(split, files=files, beam=beam).metrics()

    def predict(self, texts: Iterable[str], *, beam: int | None = None, nbest: int = 1) -> list[Any]:
        """Return one prediction for each text: a Label, an Output, or with `nbest` above 1 a list of Outputs."""
        if isinstance(texts, str):
            raise TypeError("`predict` takes a list of texts, not one; write predict([text])")
        lines = list(texts)
        if not lines:
            return []
        decoding = self.decoding(beam, nbest)
        if "text" in self.coding.codecs:
            return labels_of(self.probabilities(lines), self.coding.labels)
        tgt = self.coding.codecs["tgt"]
        outputs = [
            [Output(tgt.decode(one.ids), one.score, math.exp(decoding.log_probability(one))) for one in found]
            for found in self.hypotheses(lines, decoding)
        ]
        return [found if nbest > 1 else found[0] for found in outputs]

    def probabilities(self, lines: list[str]) -> Array:
        """Return the probability of each label for each text, (texts, labels)."""
        text = self._encode("text", lines)
        corpus = TextCorpus(text=text, labels=np.zeros(len(lines), dtype=np.int64), texts=lines)
        return probabilities(self.model, corpus, self.setting)

    def hypotheses(self, lines: list[str], decoding: Decoding) -> list[list[Hypothesis]]:
        """Return the outputs found for each text, the best first."""
        sources = self._encode("src", lines)
        corpus = PairCorpus(src=sources, tgt=Sequences.from_lists([]), sources=sources)
        batches = corpus.source_loader(self.setting.batch_tokens)
        found = dict(decode(self.model, batches, decoding, device=self.device, precision=self.setting.precision))
        return [found[row] for row in range(len(lines))]

    def log_probabilities(self, lines: list[str], outputs: list[str]) -> tuple[Array, Array]:
        """Return the log-probability of each output text for its line, and its tokens with the end symbol, in number.

        Lines and outputs are cut to what the model takes.
        """
        codecs, longest = self.coding.codecs, self.config.model.max_length
        src, tgt = codecs["src"].encode_many(lines).cut(longest), codecs["tgt"].encode_many(outputs).cut(longest)
        return log_probabilities(self.model, PairCorpus(src=src, tgt=tgt), self.setting), tgt.lengths + 1

    def attention(self, text: str, *, beam: int | None = None, nbest: int = 1) -> tuple[Array, list[str], list[str]]:
        """Return the attention of the output for `text`, (output time, source time), and the tokens of both.

        The output is the best of those that `predict` finds with the same options.
        """
        if not has_attention(self.model, self.config):
            raise ConfigError(f"model={self.config.model.name} of this run has no attention over a source to draw")
        setting = self.setting._replace(decoding=self.decoding(beam, nbest))
        return attention_of(self.model, self.coding, setting, text, self.config.model.max_length)

    def draw_attention(self, text: str, path: Path) -> None:
        """Write a picture of the attention of the output for `text` as a PNG file."""
        save_figure(attention_figure(*self.attention(text)), path)

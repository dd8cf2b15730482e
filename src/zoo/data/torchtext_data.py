"""Iterators of torchtext: `dataset=torchtext` builds them, and the loop takes any that a user has built.

A batch of torchtext 0.6 carries `b.text` and `b.label`, or `b.src` and `b.trg`, with time first unless the field says
otherwise; padding, start and end symbols are the field's own.
"""

import inspect
import random
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.data.batch import IGNORE, PairBatch, TextBatch
from zoo.data.corpus import PairCorpus, TextCorpus
from zoo.data.tokenize import Codec
from zoo.data.vocab import BOS, EOS, PAD, UNK
from zoo.errors import ConfigError

RESERVED = {PAD: "\0pad", UNK: "\0unk", BOS: "\0bos", EOS: "\0eos"}
"""Spellings that no text can hold, since files with NUL are refused: a literal `<pad>` stays text."""


class FieldBatch(NamedTuple):
    """A batch as torchtext made it, for models from outside the zoo: `inputs` is what forward takes."""

    inputs: tuple[Tensor, ...]
    targets: Tensor
    tokens: int

    def to(self, device: torch.device) -> "FieldBatch":
        return FieldBatch(tuple(part.to(device) for part in self.inputs), self.targets.to(device), self.tokens)


def adapt(loader: Iterable[Any], model: nn.Module) -> Iterable[Any]:
    """Return the loader itself, or a plain torchtext iterator wrapped so that its batches fit `model`."""
    if not any(cls.__module__.startswith("torchtext.") for cls in type(loader).__mro__):
        return loader
    return FieldLoader(loader, model)


class FieldLoader:
    """A torchtext iterator that yields batches with `inputs` and `targets`.

    Models of the zoo get TextBatch or PairBatch, batch first. Others are called as `model(b.text)` or
    `model(b.src, b.trg without its last symbol)`, in the field's own layout; lengths follow the text or source where
    forward has a place for them, the field's own or counted from the padding.
    """

    def __init__(self, iterator: Any, model: nn.Module) -> None:
        self.iterator = iterator
        fields = iterator.dataset.fields
        self.paired = "src" in fields and "trg" in fields
        if not self.paired and not ("text" in fields and "label" in fields):
            raise ConfigError(
                f"a torchtext iterator needs fields text and label, or src and trg; found {', '.join(fields)}"
            )
        if iterator.repeat:
            raise ConfigError("a torchtext iterator with repeat=True has no end of an epoch; make it with repeat=False")
        self.source = fields["src" if self.paired else "text"]
        self.target = fields["trg" if self.paired else "label"]
        model = getattr(model, "_orig_mod", model)  # behind torch.compile
        self.zoo_model = any(cls.__module__.startswith("zoo.") for cls in type(model).__mro__)
        self.takes_lengths = _takes_lengths(model, paired=self.paired)

    def __len__(self) -> int:
        return len(self.iterator)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.iterator:
            text, lengths = self._text(batch.src if self.paired else batch.text)
            target = batch.trg if self.paired else batch.label
            target = target[0] if isinstance(target, tuple) else target
            make = self._pairs if self.paired else self._labelled
            yield make(text, lengths, target)

    def _text(self, value: Any) -> tuple[Tensor, Tensor]:
        """Return the ids and each row's length, counted from the padding where the field did not."""
        if isinstance(value, tuple):
            return value[0], value[1].cpu()
        pad = _pad_id(self.source)
        return value, (value != pad).sum(1 if self.source.batch_first else 0).cpu()

    def _labelled(self, text: Tensor, lengths: Tensor, label: Tensor) -> Any:
        if self.zoo_model:
            return TextBatch(_batch_first(text, self.source), lengths, label)
        inputs = (text, lengths) if self.takes_lengths else (text,)
        return FieldBatch(inputs, label, int(lengths.sum()))

    def _pairs(self, src: Tensor, lengths: Tensor, trg: Tensor) -> Any:
        if self.zoo_model:
            src, trg = _batch_first(src, self.source), _batch_first(trg, self.target)
            return PairBatch(src, lengths, trg[:, :-1], self._targets(trg[:, 1:]))
        shorter, shifted = (trg[:, :-1], trg[:, 1:]) if self.target.batch_first else (trg[:-1], trg[1:])
        given = (src, lengths) if self.takes_lengths else (src,)
        targets = self._targets(shifted)
        return FieldBatch((*given, shorter), targets, int((targets != IGNORE).sum()))

    def _targets(self, ids: Tensor) -> Tensor:
        return ids.masked_fill(ids == _pad_id(self.target), IGNORE)


def _takes_lengths(model: nn.Module, *, paired: bool) -> bool:
    """Whether forward has a place for lengths after the text or source: one without default, or named for them."""
    places = [p for p in inspect.signature(model.forward).parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
    needed = [p for p in places if p.default is p.empty]
    return len(needed) > 1 + paired or (len(places) > 1 and "len" in places[1].name)


def _pad_id(field: Any) -> int:
    return int(field.vocab.stoi.get(field.pad_token, -1))


def _batch_first(ids: Tensor, field: Any) -> Tensor:
    return ids if field.batch_first else ids.t().contiguous()


class EpochIterator:
    """A BucketIterator whose order follows from the seed and the epoch's number alone."""

    def __init__(self, iterator: Any, model: nn.Module, *, seed: int) -> None:
        self.loader = FieldLoader(iterator, model)
        self.seed = seed

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of epoch number `epoch`."""
        shuffler = self.loader.iterator.random_shuffler
        shuffler.random_state = random.Random(self.seed * 1_000_003 + epoch).getstate()

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader)


def build_iterator(
    corpus: PairCorpus | TextCorpus,
    codecs: dict[str, Codec],
    model: nn.Module,
    *,
    batch_size: int,
    seed: int,
    train: bool,
    labels: list[str] | None = None,
) -> EpochIterator:
    """Make a BucketIterator over a corpus, with Field (and LabelField) that number tokens as the codecs do."""
    from torchtext.data import BucketIterator, Dataset, Example, Field

    def text_field(side: str, **symbols: str) -> Any:
        made = Field(pad_token=RESERVED[PAD], unk_token=RESERVED[UNK], include_lengths=side != "tgt", **symbols)
        made.vocab = _FieldVocab(codecs[side])
        return made

    if isinstance(corpus, PairCorpus):
        end = {"eos_token": RESERVED[EOS]}
        fields = [("src", text_field("src", **end)), ("trg", text_field("tgt", init_token=RESERVED[BOS], **end))]
        rows: list[list[Any]]
        rows = [[_tokens(codecs["src"], corpus.src.row(i)), _tokens(codecs["tgt"], corpus.tgt.row(i))]
                for i in range(len(corpus))]  # fmt: skip
    else:
        fields = [("text", text_field("text")), ("label", _label_field(labels or []))]
        names = ["" if label < 0 else (labels or [])[label] for label in corpus.labels.tolist()]
        rows = [[_tokens(codecs["text"], corpus.text.row(i)), names[i]] for i in range(len(corpus))]
    dataset = Dataset([Example.fromlist(row, fields) for row in rows], fields)
    iterator = BucketIterator(
        dataset,
        batch_size,
        sort_key=lambda row: len(row.src) if isinstance(corpus, PairCorpus) else len(row.text),
        sort_within_batch=True,
        train=train,
    )
    return EpochIterator(iterator, model, seed=seed)


def _label_field(labels: list[str]) -> Any:
    from torchtext.data import LabelField

    field = LabelField()
    field.vocab = _LabelVocab(labels)
    return field


def _tokens(codec: Codec, ids: Any) -> list[str]:
    return [RESERVED.get(id) or codec.vocab.token(id) for id in ids.tolist() if id != EOS]


class _FieldVocab:
    """What Field reads of a vocabulary: `stoi` and `itos`, numbered as in ours."""

    def __init__(self, codec: Codec) -> None:
        self.itos = [RESERVED.get(id) or codec.vocab.token(id) for id in range(len(codec.vocab))]
        self.stoi = {token: id for id, token in enumerate(self.itos)}

    def __len__(self) -> int:
        return len(self.itos)


class _LabelVocab:
    def __init__(self, labels: list[str]) -> None:
        self.itos = labels
        self.stoi = {"": IGNORE, **{label: number for number, label in enumerate(labels)}}

    def __len__(self) -> int:
        return len(self.itos)

"""Iterators made the torchtext way train models of the zoo and models of one's own."""

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchtext.data import BucketIterator, Dataset, Example, Field, LabelField

from zoo.config import Encoder
from zoo.data import IGNORE, PairBatch, PairSizes, TextBatch, TextSizes
from zoo.data.torchtext_data import FieldLoader, adapt
from zoo.errors import ConfigError
from zoo.models import create_model
from zoo.models.transformer import Transformer
from zoo.training import LoopState, training

WORDS = ["a", "b", "c", "d", "e", "f"]
TEXTS = [(" ".join(WORDS[(i * j) % 6] for j in range(1, 2 + i % 5)), "yes" if i % 2 else "no") for i in range(24)]
PAIRS = [(text, " ".join(reversed(text.split())) + (" z" if label == "yes" else "")) for text, label in TEXTS]


def iterator(rows: list[tuple[str, str]], fields: list[tuple[str, Any]], **options: Any) -> Any:
    random.seed(0)  # the iterator's shuffler starts from the state of Python's generator
    torch.manual_seed(0)
    dataset = Dataset([Example.fromlist(row, fields) for row in rows], fields)
    for _, field in fields:
        field.build_vocab(dataset)
    return BucketIterator(dataset, **{"batch_size": 5, "sort_key": lambda row: len(vars(row)[fields[0][0]]),
                                      "sort_within_batch": True, **options})  # fmt: skip


def text_iterator(*, include_lengths: bool = False, batch_first: bool = False, **options: Any) -> Any:
    text = Field(include_lengths=include_lengths, batch_first=batch_first)
    return iterator(TEXTS, [("text", text), ("label", LabelField())], **options)


def pair_iterator(*, include_lengths: bool = False, batch_first: bool = False, **options: Any) -> Any:
    src = Field(include_lengths=include_lengths, batch_first=batch_first, eos_token="</s>", lower=True)
    trg = Field(init_token="<go>", eos_token="</s>", pad_token="<fill>", batch_first=batch_first)
    return iterator(PAIRS, [("src", src), ("trg", trg)], **options)


def vocabs(loader: Any, *names: str) -> list[int]:
    return [len(loader.dataset.fields[name].vocab) for name in names]


LAYOUTS = [(lengths, first) for lengths in (False, True) for first in (False, True)]


class Bag(nn.Module):
    """The classifier of a tutorial: time first, no lengths."""

    def __init__(self, vocab: int, classes: int, *, dim: int = 0) -> None:
        super().__init__()
        self.embedding, self.output, self.dim = nn.Embedding(vocab, 8), nn.Linear(8, classes), dim
        self.shapes: set[tuple[int, ...]] = set()

    def forward(self, text: Tensor) -> Tensor:
        self.shapes.add(tuple(text.shape))
        logits: Tensor = self.output(self.embedding(text).mean(self.dim))
        return logits


class Packed(Bag):
    """The same with lengths, as `include_lengths` gives them."""

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        assert lengths.shape == (text.shape[1],)
        assert lengths.max() == text.shape[0]
        return super().forward(text)


class Optional(Bag):
    def forward(self, text: Tensor, lengths: Tensor | None = None, *rest: Any, **options: Any) -> Tensor:
        assert lengths is not None
        return super().forward(text)


class Loose(Bag):
    def forward(self, text: Tensor, *rest: Any, flag: bool = False, **options: Any) -> Tensor:
        assert not rest
        return super().forward(text)


class Copier(nn.Module):
    """A sequence model of one's own: predicts from the mean of the source and the last target symbol."""

    def __init__(self, src_vocab: int, trg_vocab: int, *, dim: int = 0) -> None:
        super().__init__()
        self.src, self.trg = nn.Embedding(src_vocab, 16), nn.Embedding(trg_vocab, 16)
        self.output, self.dim = nn.Linear(16, trg_vocab), dim

    def forward(self, src: Tensor, trg: Tensor, teacher_forcing_ratio: float = 0.5) -> Tensor:
        assert teacher_forcing_ratio == 0.5
        logits: Tensor = self.output(self.trg(trg) + self.src(src).mean(self.dim, keepdim=True))
        return logits


class PackedCopier(Copier):
    def forward(self, src: Tensor, src_len: Tensor, trg: Tensor, teacher_forcing_ratio: float = 0.5) -> Tensor:  # type: ignore[override]
        assert src_len.shape == (src.shape[1],)
        return super().forward(src, trg, teacher_forcing_ratio)


def learns(model: nn.Module, loader: Any, *, epochs: int = 4) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    results = [training(epoch, model, loader, loader, optimizer=optimizer) for epoch in range(1, epochs + 1)]
    assert results[-1].loss < results[0].loss
    assert results[-1].valid_loss < results[0].valid_loss


@pytest.mark.parametrize(("include_lengths", "batch_first"), LAYOUTS)
@pytest.mark.parametrize("encoder", Encoder)
def test_classifiers_of_the_zoo_learn_from_a_plain_iterator(
    include_lengths: bool, batch_first: bool, encoder: str
) -> None:
    loader = text_iterator(include_lengths=include_lengths, batch_first=batch_first)
    sizes = TextSizes(*vocabs(loader, "text", "label"))
    model = create_model("classifier", sizes=sizes, encoder=encoder, embedding_size=8, hidden_size=8, dropout=0.0)
    learns(model, loader)


@pytest.mark.parametrize(("include_lengths", "batch_first"), LAYOUTS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("seq2seq", {"embedding_size": 8, "hidden_size": 8}),
        ("transformer", {"d_model": 8, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1}),
    ],
)
def test_sequence_models_of_the_zoo_learn_from_a_plain_iterator(
    include_lengths: bool, batch_first: bool, name: str, options: dict[str, Any]
) -> None:
    loader = pair_iterator(include_lengths=include_lengths, batch_first=batch_first)
    learns(create_model(name, sizes=PairSizes(*vocabs(loader, "src", "trg"), False), dropout=0.0, **options), loader)


@pytest.mark.parametrize(("include_lengths", "batch_first"), LAYOUTS)
def test_the_zoo_gets_texts_batch_first_with_their_lengths(include_lengths: bool, batch_first: bool) -> None:
    loader = text_iterator(include_lengths=include_lengths, batch_first=batch_first, shuffle=False, sort=True)
    model = create_model("classifier", sizes=TextSizes(*vocabs(loader, "text", "label")))
    itos = loader.dataset.fields["text"].vocab.itos
    found = []
    for batch in adapt(loader, model):
        assert isinstance(batch, TextBatch)
        assert batch.lengths.device.type == "cpu"
        for row, length, label in zip(batch.text.tolist(), batch.lengths.tolist(), batch.label.tolist(), strict=True):
            assert set(row[length:]) <= {1}  # torchtext's own number of padding
            found.append((" ".join(itos[i] for i in row[:length]), loader.dataset.fields["label"].vocab.itos[label]))
    assert sorted(found) == sorted(TEXTS)


@pytest.mark.parametrize(("include_lengths", "batch_first"), LAYOUTS)
def test_the_zoo_gets_pairs_batch_first_and_padding_of_targets_never_counts(
    include_lengths: bool, batch_first: bool
) -> None:
    loader = pair_iterator(include_lengths=include_lengths, batch_first=batch_first)
    model = create_model("transformer", sizes=PairSizes(*vocabs(loader, "src", "trg"), False), d_model=8, nhead=2)
    src, trg = (loader.dataset.fields[name].vocab.itos for name in ("src", "trg"))
    found = []
    for batch in adapt(loader, model):
        assert isinstance(batch, PairBatch)
        for row, length, given, wanted in zip(*map(Tensor.tolist, batch), strict=True):
            assert src[row[length - 1]] == "</s>"
            target = [trg[i] for i in wanted if i != IGNORE]
            assert target[-1] == "</s>"
            assert "<fill>" not in target
            assert [trg[i] for i in given][: len(target)] == ["<go>", *target[:-1]]
            found.append((" ".join(src[i] for i in row[: length - 1]), " ".join(target[:-1])))
        assert batch.tokens == int((batch.tgt_out != IGNORE).sum())
    assert sorted(found) == sorted(PAIRS)


def test_a_subclass_of_a_zoo_model_is_treated_as_one() -> None:
    class Mine(Transformer):
        pass

    loader = pair_iterator()
    sizes = vocabs(loader, "src", "trg")
    learns(Mine(*sizes, d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dropout=0.0), loader)


@pytest.mark.parametrize("encoder", Encoder)
def test_an_empty_text_is_not_refused(encoder: str) -> None:
    text = Field()
    loader = iterator([*TEXTS, ("", "no")], [("text", text), ("label", LabelField())])
    sizes = TextSizes(*vocabs(loader, "text", "label"))
    learns(
        create_model("classifier", sizes=sizes, encoder=encoder, embedding_size=8, hidden_size=8, dropout=0.0), loader
    )


@pytest.mark.parametrize(
    ("model_type", "include_lengths"),
    [(Bag, False), (Bag, True), (Packed, True), (Packed, False), (Optional, True), (Loose, True), (Loose, False)],
)
def test_a_classifier_of_ones_own_is_called_as_torchtext_has_it(model_type: Any, include_lengths: bool) -> None:
    loader = text_iterator(include_lengths=include_lengths)
    model = model_type(*vocabs(loader, "text", "label"))
    learns(model, loader)
    assert {shape[1] for shape in model.shapes} <= {5, 4}
    assert max(shape[0] for shape in model.shapes) == 5


def test_a_field_that_is_batch_first_stays_so_for_a_model_of_ones_own() -> None:
    loader = text_iterator(batch_first=True)
    model = Bag(*vocabs(loader, "text", "label"), dim=1)
    learns(model, loader)
    assert {shape[0] for shape in model.shapes} <= {5, 4}
    pairs = pair_iterator(batch_first=True)
    learns(Copier(*vocabs(pairs, "src", "trg"), dim=1), pairs)


@pytest.mark.parametrize(
    ("model_type", "include_lengths"), [(Copier, False), (Copier, True), (PackedCopier, True), (PackedCopier, False)]
)
def test_a_sequence_model_of_ones_own_gets_the_target_without_its_last_symbol(
    model_type: Any, include_lengths: bool
) -> None:
    loader = pair_iterator(include_lengths=include_lengths)
    learns(model_type(*vocabs(loader, "src", "trg")), loader)
    model = model_type(*vocabs(loader, "src", "trg"))
    for batch in FieldLoader(loader, model):
        assert batch.inputs[-1].shape == batch.targets.shape
        assert batch.targets.shape[1] in (5, 4)
        counted = batch.targets != IGNORE
        assert batch.tokens == int(counted.sum())
        assert bool((batch.inputs[-1][1:] == batch.targets[:-1])[counted[:-1] & counted[1:]].all())


def test_the_loss_is_that_of_a_loop_written_out_over_the_same_batches() -> None:
    loader = pair_iterator(shuffle=False, sort=True)
    model = Copier(*vocabs(loader, "src", "trg"))
    pad = loader.dataset.fields["trg"].vocab.stoi["<fill>"]
    total, count = 0.0, 0
    for batch in loader:
        logits = model(batch.src, batch.trg[:-1]).detach()
        targets = batch.trg[1:]
        total += float(F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=pad, reduction="sum"))
        count += int((targets != pad).sum())
    result = training(1, model, loader, loader, optimizer=torch.optim.SGD(model.parameters(), lr=0.0))
    assert result.loss == pytest.approx(total / count, rel=1e-5)
    assert result.valid_loss == pytest.approx(total / count, rel=1e-5)


def test_an_iterator_that_does_not_know_its_length_trains() -> None:
    loader = text_iterator(batch_size=12, batch_size_fn=lambda row, count, size: size + len(row.text))
    with pytest.raises(NotImplementedError):
        len(loader)
    state = LoopState()
    model = Bag(*vocabs(loader, "text", "label"))
    training(1, model, loader, loader, optimizer=torch.optim.Adam(model.parameters()), state=state)
    assert state.batch > 2


def test_an_iterator_that_never_ends_is_refused() -> None:
    with pytest.raises(ConfigError, match="repeat=True has no end of an epoch; make it with repeat=False"):
        adapt(text_iterator(repeat=True), Bag(2, 2))


def test_an_iterator_of_other_fields_is_refused_with_their_names() -> None:
    loader = iterator(TEXTS, [("review", Field()), ("label", LabelField())])
    with pytest.raises(ConfigError, match="needs fields text and label, or src and trg; found review, label"):
        adapt(loader, Bag(2, 2))


def test_a_loader_of_the_zoo_or_a_list_is_left_as_it_is() -> None:
    batches: list[Any] = []
    assert adapt(batches, Bag(2, 2)) is batches

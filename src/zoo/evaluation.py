"""A model and a corpus in, its outputs and what they are worth out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data.batch import IGNORE
from zoo.data.corpus import PairCorpus, TextCorpus
from zoo.data.loader import Loader
from zoo.data.tokenize import Codec
from zoo.distributed import gathered, share, total
from zoo.loss import model_loss, summed_loss, target_count
from zoo.metrics import Array, LabelScores, Scores, SequenceScores, TranslationScores
from zoo.record import progress
from zoo.search import Hypothesis, beam, greedy

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which matrix products run in `precision` (fp32, bf16 or fp16)."""
    return torch.autocast(device.type, DTYPES.get(precision, torch.bfloat16), enabled=precision in DTYPES)


class Decoding(NamedTuple):
    """How outputs are searched for: beam width (1: greedy), longest output, length penalty, outputs per source."""

    width: int = 1
    max_length: int = 100
    length_penalty: float = 1.0
    nbest: int = 1

    def log_probability(self, found: Hypothesis) -> float:
        """Return the log-probability of an output of such a search, whose score is that over a power of its length."""
        length = min(len(found.ids) + 1, self.max_length)  # with the end symbol, where it came in time
        return found.score * float(length ** (self.length_penalty if self.width > 1 else 1.0))


@torch.no_grad()
def validate(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    device: torch.device,
    precision: str = "fp32",
    criterion: Callable[..., tuple[Tensor, Tensor]] = summed_loss,
) -> tuple[float, float]:
    """Return the loss per target and the share of targets predicted right, the model in eval mode.

    Sequence models are given the true prefix; see `evaluate` for figures that are not.
    """
    was_training = model.training
    model.eval()
    totals = torch.zeros(4, dtype=torch.float64, device=device)
    for batch in share(loader):
        batch = batch.to(device)
        with autocast(device, precision):
            loss, count, right = model_loss(model, batch, criterion)
        totals += torch.stack([loss, count, right, target_count(batch.targets)]).double()
    model.train(was_training)
    loss_sum, counted, right, asked = total(totals).tolist()
    return loss_sum / max(counted, 1), right / max(asked, 1)


def search(model: Any, src: Tensor, src_lengths: Tensor, decoding: Decoding) -> list[list[Hypothesis]]:
    """Return for each source up to `nbest` outputs, the best first."""
    if decoding.width == 1:
        return [[one] for one in greedy(model, src, src_lengths, max_length=decoding.max_length)]
    return beam(
        model,
        src,
        src_lengths,
        width=decoding.width,
        max_length=decoding.max_length,
        length_penalty=decoding.length_penalty,
        nbest=decoding.nbest,
    )


def decode(
    model: nn.Module,
    batches: Iterable[tuple[Any, Tensor, Tensor]],
    decoding: Decoding,
    *,
    device: torch.device,
    precision: str = "fp32",
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """Yield (row, outputs) for batches of (rows, src, src_lengths), in the order of the batches."""
    model.eval()
    for rows, src, src_lengths in batches:
        with autocast(device, precision):
            found = search(model, src.to(device), src_lengths, decoding)
        yield from zip(rows.tolist(), found, strict=True)


class Setting(NamedTuple):
    """How a model is run when it is measured; equal settings give equal figures on equal machines."""

    device: torch.device
    precision: str = "fp32"
    batch_tokens: int = 4096
    decoding: Decoding = Decoding()
    bleu: str = ""  # sacreBLEU's tokenizer; empty: no BLEU


class Outcome(NamedTuple):
    """What a model made of each source of a part, in the part's order.

    lengths (sources) are tokens of the sources. `loss` is that of a sequence model, given the true prefix; None where
    there is none or the scores have it. names are the classes of labels.
    """

    sources: list[str]
    outputs: list[str]
    references: list[list[str]]
    lengths: Array
    scores: Scores
    loss: float | None = None
    names: Sequence[str] = ()

    def metrics(self) -> dict[str, Any]:
        """Return all figures, and the signatures of those that have one."""
        loss = {} if self.loss is None else {"loss": self.loss}
        return {**loss, **self.scores.metrics(), **self.scores.signatures}

    def samples(self, count: int = 8) -> list[tuple[str, str, str]]:
        """Return a few rows of (source, output, references), evenly spread."""
        spread = np.linspace(0, len(self.sources) - 1, min(count, len(self.sources))).astype(int)
        return [(self.sources[i], self.outputs[i], " | ".join(self.references[i])) for i in spread]


def evaluate(
    model: nn.Module,
    corpus: PairCorpus | TextCorpus,
    codecs: dict[str, Codec],
    setting: Setting,
    *,
    limit: int = 0,
) -> dict[str, Any]:
    """Return the loss of a corpus and its error rates, found without sight of the target; or those of labels.

    `loss` is in nats per target symbol, the end symbol included, or per label. Of sequences there are
    `token_error_rate`, `sequence_error_rate` and, with `setting.bleu`, `bleu` and `chrf` (0 to 100) with their
    signatures; of labels `accuracy`, `macro_f1` and `ece`. Rates are fractions, at most 1. The model lies
    on `setting.device`, and comes back in eval mode. `limit` decodes only so many sources, evenly spread; 0: all.
    """
    return judge(model, corpus, codecs, setting, limit=limit).metrics()


def judge(
    model: nn.Module,
    corpus: PairCorpus | TextCorpus,
    codecs: dict[str, Codec],
    setting: Setting,
    *,
    limit: int = 0,
    labels: Sequence[str] = (),
) -> Outcome:
    """Return what a model makes of each source of a corpus, as `evaluate` measures it.

    `limit` decodes only so many sources, evenly spread; 0: all. `labels` names the classes.
    """
    if isinstance(corpus, TextCorpus):
        return judge_labels(model, corpus, setting, labels=labels)
    loader = Loader(corpus, batch_tokens=setting.batch_tokens, shuffle=False)
    loss, _ = validate(model, loader, device=setting.device, precision=setting.precision)
    return judge_outputs(model, corpus, codecs["tgt"], setting, limit=limit)._replace(loss=loss)


def judge_outputs(model: nn.Module, corpus: PairCorpus, codec: Codec, setting: Setting, *, limit: int = 0) -> Outcome:
    """Decode each source once and return what came out; `limit` takes only so many, evenly spread (0: all)."""
    rows = corpus.spread(limit)
    batches = share(corpus.source_loader(setting.batch_tokens, limit=limit))
    decoded = decode(model, batches, setting.decoding, device=setting.device, precision=setting.precision)
    found = dict(gathered(list(progress(decoded, desc="decoding", total=len(rows), unit="source"))))
    texts = [codec.decode(found[row][0].ids) for row in rows.tolist()]
    return judge_texts(corpus, rows, texts, codec, bleu=setting.bleu)


def judge_texts(corpus: PairCorpus, rows: Array, texts: list[str], codec: Codec, *, bleu: str = "") -> Outcome:
    """Return what output texts are worth, one for each of the given rows of a corpus' sources."""
    references = [corpus.references[row] for row in rows]
    translation = None
    if bleu:
        raw = [corpus.raw_references[row] for row in rows]
        translation = TranslationScores(texts, raw, tokenize=bleu, lowercase=codec.lowers_case)
    split = [[codec.split(one) for one in found] for found in references]
    scores = SequenceScores.of([codec.split(text) for text in texts], split, translation)
    sources = [corpus.source_texts[row] for row in rows]
    return Outcome(sources, texts, references, corpus.sources.lengths_of(rows), scores)


@torch.no_grad()
def probabilities(model: nn.Module, corpus: TextCorpus, setting: Setting) -> Array:
    """Return the probability of each class for each text, (texts, classes), in the order of the corpus."""
    model.eval()
    loader = Loader(corpus, batch_tokens=setting.batch_tokens, shuffle=False)
    parts = []
    for rows, batch in share(zip(loader.plan(), loader, strict=True)):
        with autocast(setting.device, setting.precision):
            logits = model(*batch.to(setting.device).inputs)
        parts.append((rows, logits.double().softmax(-1).cpu().numpy()))
    all_rows, found = (np.concatenate(one) for one in zip(*gathered(parts), strict=True))
    out = np.empty_like(found)
    out[all_rows] = found
    return out


@torch.no_grad()
def log_probabilities(model: nn.Module, corpus: PairCorpus, setting: Setting) -> Array:
    """Return the log-probability of each target given its source, the end symbol included, in the order of a corpus."""
    model.eval()
    found = np.empty(len(corpus))
    loader = Loader(corpus, batch_tokens=setting.batch_tokens, shuffle=False)
    for rows, batch in zip(loader.plan(), loader, strict=True):
        batch = batch.to(setting.device)
        with autocast(setting.device, setting.precision):
            logits = model(*batch.inputs)
        losses = F.cross_entropy(logits.float().mT, batch.targets, ignore_index=IGNORE, reduction="none")
        found[rows] = -losses.double().sum(1).cpu().numpy()
    return found


def judge_labels(model: nn.Module, corpus: TextCorpus, setting: Setting, *, labels: Sequence[str] = ()) -> Outcome:
    """Return the label found for each text; `labels` names the classes, otherwise numbers do."""
    return judge_probabilities(corpus, probabilities(model, corpus, setting), labels=labels)


def judge_probabilities(corpus: TextCorpus, found: Array, *, labels: Sequence[str] = ()) -> Outcome:
    """Return what probabilities (texts, classes) are worth as labels of a corpus."""
    names = list(labels) or [str(number) for number in range(found.shape[1])]
    scores = LabelScores.of(found, np.where(corpus.labels >= 0, corpus.labels, -1))
    known = [*names, "(unknown)"]  # a label that training lacks has number -1
    outputs = [names[number] for number in scores.predictions.tolist()]
    references = [[known[number]] for number in scores.labels.tolist()]
    return Outcome(corpus.texts, outputs, references, corpus.text.lengths, scores, names=names)

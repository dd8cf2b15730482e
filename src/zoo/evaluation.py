"""A model and a corpus in, a dict of metrics out."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zoo.data.corpus import PairCorpus, TextCorpus
from zoo.data.loader import Loader
from zoo.data.tokenize import Codec
from zoo.loss import model_loss, summed_loss, target_count
from zoo.metrics import classification_metrics, sequence_metrics, translation_metrics
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
    for batch in loader:
        batch = batch.to(device)
        with autocast(device, precision):
            loss, count, right = model_loss(model, batch, criterion)
        totals += torch.stack([loss, count, right, target_count(batch.targets)]).double()
    model.train(was_training)
    loss_sum, counted, right, asked = totals.tolist()
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


def evaluate(
    model: nn.Module,
    corpus: PairCorpus | TextCorpus,
    codecs: dict[str, Codec],
    setting: Setting,
    *,
    limit: int = 0,
) -> dict[str, Any]:
    """Return the loss of a corpus and its error rates, found without sight of the target; or those of labels.

    `limit` decodes only so many sources, evenly spread; 0: all.
    """
    if isinstance(corpus, TextCorpus):
        return evaluate_labels(model, corpus, setting)
    loader = Loader(corpus, batch_tokens=setting.batch_tokens, shuffle=False)
    loss, _ = validate(model, loader, device=setting.device, precision=setting.precision)
    return {"loss": loss, **evaluate_outputs(model, corpus, codecs["tgt"], setting, limit=limit)}


def evaluate_outputs(
    model: nn.Module,
    corpus: PairCorpus,
    codec: Codec,
    setting: Setting,
    *,
    limit: int = 0,
    samples: list[tuple[str, str, str]] | None = None,
) -> dict[str, Any]:
    """Decode each source once and return the error rates of the outputs.

    `limit` decodes only so many sources, evenly spread (0: all); a few rows of (source, prediction, references) are
    added to `samples`.
    """
    rows, outputs = [], []
    count = min(limit or len(corpus.sources), len(corpus.sources))
    batches = corpus.source_loader(setting.batch_tokens, limit=limit)
    found = decode(model, batches, setting.decoding, device=setting.device, precision=setting.precision)
    for row, hypotheses in progress(found, desc="decoding", total=count, unit="source"):
        rows.append(row)
        outputs.append(hypotheses[0].ids)
    return _rates(corpus, codec, rows, outputs, setting.bleu, samples)


def _rates(
    corpus: PairCorpus, codec: Codec, rows: list[int], outputs: list[list[int]], bleu: str, samples: Any
) -> dict[str, Any]:
    texts = [codec.decode(ids) for ids in outputs]
    references = [corpus.references[row] for row in rows]
    rates: dict[str, Any] = sequence_metrics(
        [codec.split(text) for text in texts], [[codec.split(one) for one in found] for found in references]
    )
    if bleu:
        order = np.argsort(rows)
        raw = [corpus.raw_references[rows[i]] for i in order]
        rates |= translation_metrics([texts[i] for i in order], raw, tokenize=bleu, lowercase=codec.lowers_case)
    if samples is not None:
        spread = np.linspace(0, len(rows) - 1, min(8, len(rows))).astype(int)
        samples += [(corpus.source_texts[rows[i]], texts[i], " | ".join(references[i])) for i in spread]
    return rates


@torch.no_grad()
def probabilities(model: nn.Module, corpus: TextCorpus, setting: Setting) -> "np.ndarray[Any, np.dtype[Any]]":
    """Return the probability of each class for each text, (texts, classes), in the order of the corpus."""
    model.eval()
    loader = Loader(corpus, batch_tokens=setting.batch_tokens, shuffle=False)
    parts = []
    for batch in loader:
        with autocast(setting.device, setting.precision):
            logits = model(*batch.to(setting.device).inputs)
        parts.append(logits.double().softmax(-1).cpu().numpy())
    found = np.concatenate(parts)
    out = np.empty_like(found)
    out[np.concatenate(loader.plan())] = found
    return out


def evaluate_labels(
    model: nn.Module,
    corpus: TextCorpus,
    setting: Setting,
    *,
    labels: list[str] | None = None,
    samples: list[tuple[str, str, str]] | None = None,
) -> dict[str, Any]:
    """Return loss and classification metrics; `labels` names the classes in `samples`."""
    found = probabilities(model, corpus, setting)
    known = corpus.labels >= 0
    chosen = found[np.flatnonzero(known), corpus.labels[known]]
    loss = float(-np.log(np.maximum(chosen, 1e-300)).mean()) if known.any() else 0.0
    if samples is not None and labels:
        names = [*labels, "(unknown)"]  # a label that training lacks has a number below 0
        for row in np.linspace(0, len(corpus) - 1, min(8, len(corpus))).astype(int):
            label = max(int(corpus.labels[row]), -1)
            samples.append((corpus.texts[row], labels[int(found[row].argmax())], names[label]))
    return {"loss": loss, **classification_metrics(found, np.where(known, corpus.labels, -1))}

"""The proof that an exported model is equal: it is loaded again and compared with the model on real texts."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data import BOS, EOS, PAD, Loader, PairCorpus, Sequences, TextCorpus
from zoo.errors import ZooError
from zoo.evaluation import Decoding, decode, judge_texts
from zoo.experiment import Run
from zoo.export.files import tokens_of
from zoo.export.formats import FORMATS, OPENERS, Program
from zoo.export.programs import Part
from zoo.record import warn

TOLERANCE = 1e-4
"""By how much a logit, or the log-probability of a token, may differ in fp32."""
TEXTS = 200
RATED = 1000
"""Texts on which error rates are found, where there is no more to compare."""
BATCH_TOKENS = 1024


class UnequalError(Exception):
    """An export that differs from its model, which is a defect of ours or of the exporter."""


class Texts(NamedTuple):
    """What an export is compared on, and where it is from; references is empty for texts that were made up."""

    sources: list[str]
    references: list[list[str]]
    origin: str


class Answer(NamedTuple):
    """What model and export make of one text: greedy outputs, or label numbers, and the difference of the logits.

    margin is that between the model's two best choices where the two outputs part, infinite where they do not.
    """

    expected: list[int]
    found: list[int]
    difference: float
    margin: float


def read_texts(run: Run, count: int = TEXTS) -> Texts:
    """Return texts of the run's validation part, evenly spread, or where it cannot be read, of known tokens."""
    try:
        corpus = run.read("valid")
    except (ZooError, OSError, ImportError) as error:
        warn(f"the validation part cannot be read ({error}); comparing on texts made of the run's vocabulary")
        return Texts(made_up(run), [], "made of the vocabulary")
    if isinstance(corpus, TextCorpus):
        rows = np.unique(np.linspace(0, len(corpus) - 1, count).astype(int)).tolist()
        return Texts([corpus.texts[row] for row in rows], [], "of the valid part")
    rows = corpus.spread(count).tolist()
    return Texts([corpus.source_texts[row] for row in rows], [corpus.references[row] for row in rows],
                 "of the valid part")  # fmt: skip


def made_up(run: Run) -> list[str]:
    """Return texts of 1 to 20 tokens, drawn from the run's vocabulary, always the same ones."""
    codec = next(iter(run.coding.codecs.values()))
    draw = random.Random(0)
    tokens = codec.vocab.tokens
    return [codec.tokenizer.join(draw.choices(tokens, k=1 + number % 20)) for number in range(TEXTS)]


def prove(run: Run, parts: list[Part], directory: Path, kind: str, texts: Texts) -> dict[str, Any]:
    """Compare the export in a directory with its model; return the figures, or raise UnequalError."""
    if kind == "ctranslate2":
        answers = list(compare_translator(run, directory, texts))
    else:
        programs = [OPENERS[kind](directory / f"{part.name}{FORMATS[kind].suffix}") for part in parts]
        compare = compare_pairs if "src" in run.coding.codecs else compare_labels
        answers = list(compare(run, programs, texts))
    return judge_answers(answers, texts)


def judge_answers(answers: list[Answer], texts: Texts) -> dict[str, Any]:
    """Return the largest difference and how many outputs are equal; UnequalError where they are not.

    An output may part from the model's where the model's own two best choices are closer than two tolerances.
    """
    largest = max(answer.difference for answer in answers)
    parted = [answer for answer in answers if answer.expected != answer.found]
    wrong = [answer for answer in parted if not answer.margin <= 2 * TOLERANCE]
    if not largest <= TOLERANCE:  # NaN too
        raise UnequalError(
            f"the export differs from the model: logits by {largest:.3g}, more than {TOLERANCE:g}, on {len(answers)} "
            f"texts {texts.origin}; it is not kept"
        )
    if wrong:
        raise UnequalError(
            f"the export differs from the model: {len(wrong)} of {len(answers)} outputs on texts {texts.origin}, as "
            f"{wrong[0].found} for {wrong[0].expected}; it is not kept"
        )
    return {
        "texts": len(answers), "origin": texts.origin, "largest_difference": largest, "tolerance": TOLERANCE,
        "equal_outputs": len(answers) - len(parted), "ties": len(parted),
    }  # fmt: skip


@torch.no_grad()
def compare_labels(run: Run, programs: list[Program], texts: Texts) -> Iterator[Answer]:
    """Yield what a classifier and its export make of each text."""
    ids = run.coding.codecs["text"].encode_many(texts.sources).cut(run.config.model.max_length)
    corpus = TextCorpus(text=ids, labels=np.zeros(len(ids), dtype=np.int64))
    for batch in Loader(corpus, batch_tokens=BATCH_TOKENS, shuffle=False):
        expected, found = run.model(*batch.inputs), programs[0](*batch.inputs)[0]
        for one, other in zip(expected, found, strict=True):
            best, label = int(one.argmax()), int(other.argmax())
            yield Answer([best], [label], _largest(one - other), float(one[best] - one[label]))


@torch.no_grad()
def compare_pairs(run: Run, programs: list[Program], texts: Texts) -> Iterator[Answer]:
    """Yield what a sequence model and its export, an encoder and a decoder, make of each source."""
    encoder, decoder = programs
    longest = run.coding.max_output
    for src, lengths in source_batches(run, texts):
        outputs = [ids for _, ids in greedy_outputs(run, [(np.arange(len(src)), src, lengths)])]
        tgt_in = padded(outputs)
        encoded = encoder(src, lengths)
        expected = run.model(src, lengths, tgt_in)
        found = decoder(tgt_in, encoded[0], lengths, *encoded[1:])[0]
        others = greedy_over_prefixes(decoder, encoded, lengths, longest)
        for row, (ids, other) in enumerate(zip(outputs, others, strict=True)):
            logits = expected[row, : len(ids) + 1]
            difference = _largest(logits - found[row, : len(ids) + 1])
            yield Answer(ids, other, difference, margin_of(logits, ids, other))


def _largest(difference: Tensor) -> float:
    return float(difference.abs().max())


def source_batches(run: Run, texts: Texts) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the ids (batch, src_time) and lengths of the sources, end symbols included, by length."""
    for _, src, lengths in _sources(run, texts.sources).source_loader(BATCH_TOKENS):
        yield src, lengths


def _sources(run: Run, lines: list[str]) -> PairCorpus:
    ids = run.coding.codecs["src"].encode_many(lines).cut(run.config.model.max_length)
    return PairCorpus(src=ids, tgt=Sequences.from_lists([]), sources=ids)


def greedy_outputs(run: Run, batches: Any) -> Iterator[tuple[int, list[int]]]:
    """Yield the row and the ids of the model's own greedy output for each source."""
    decoding = Decoding(max_length=run.coding.max_output)
    for row, found in decode(run.model, batches, decoding, device=torch.device("cpu")):
        yield row, found[0].ids


def padded(outputs: list[list[int]]) -> Tensor:
    """Return what a decoder reads to write these outputs, (batch, time)."""
    longest = max(map(len, outputs)) + 1
    return torch.tensor([[BOS, *ids, *[PAD] * (longest - 1 - len(ids))] for ids in outputs])


def greedy_over_prefixes(
    decoder: Program, encoded: tuple[Tensor, ...], lengths: Tensor, longest: int
) -> list[list[int]]:
    """Return the greedy outputs of a decoder that reads whole prefixes."""
    memory, *states = encoded
    tokens = torch.full((len(memory), 1), BOS)
    ended = torch.zeros(len(memory), dtype=torch.bool)
    for _ in range(longest):
        best = decoder(tokens, memory, lengths, *states)[0][:, -1].argmax(-1).masked_fill(ended, EOS)
        tokens, ended = torch.cat([tokens, best[:, None]], 1), ended | (best == EOS)
        if ended.all():
            break
    return [ids[: ids.index(EOS)] if EOS in ids else ids for ids in tokens[:, 1:].tolist()]


def margin_of(logits: Tensor, expected: list[int], found: list[int]) -> float:
    """Return by how much logits (time, vocab) favor the first symbol in which two outputs differ."""
    for place, (one, other) in enumerate(zip([*expected, EOS], [*found, EOS], strict=False)):
        if one != other:
            return float(logits[place, one] - logits[place, other])
    return float("inf")


def open_translator(directory: Path, compute_type: str) -> Any:
    """Load what CTranslate2 reads, on the CPU."""
    import ctranslate2

    return ctranslate2.Translator(
        str(directory), device="cpu", compute_type=compute_type, intra_threads=torch.get_num_threads()
    )


def translate(run: Run, translator: Any, lines: list[str]) -> list[list[int]]:
    """Return the greedy outputs of CTranslate2, in ids."""
    numbers = {token: number for number, token in enumerate(tokens_of(run.coding, "tgt"))}
    results = translator.translate_batch(
        _spelled(run, "src", _source_ids(run, lines)), beam_size=1, max_decoding_length=run.coding.max_output,
        min_decoding_length=0, max_input_length=0, max_batch_size=BATCH_TOKENS, batch_type="tokens",
    )  # fmt: skip
    return [[numbers[token] for token in result.hypotheses[0]] for result in results]


def _source_ids(run: Run, lines: list[str]) -> list[list[int]]:
    ids = _sources(run, lines).sources
    return [ids.row(row).tolist() for row in range(len(ids))]


def _spelled(run: Run, side: str, rows: list[list[int]]) -> list[list[str]]:
    tokens = tokens_of(run.coding, side)
    return [[tokens[number] for number in row] for row in rows]


def own_outputs(run: Run, lines: list[str]) -> list[list[int]]:
    """Return the model's own greedy outputs, in the order of the lines."""
    found = dict(greedy_outputs(run, _sources(run, lines).source_loader(BATCH_TOKENS)))
    return [found[row] for row in range(len(lines))]


@torch.no_grad()
def compare_translator(run: Run, directory: Path, texts: Texts) -> Iterator[Answer]:
    """Yield what a Transformer and CTranslate2 make of each source; the difference is that of log-probabilities."""
    translator = open_translator(directory, "float32")
    rows, expected = _source_ids(run, texts.sources), own_outputs(run, texts.sources)
    found = translate(run, translator, texts.sources)
    scored = translator.score_batch(_spelled(run, "src", rows), _spelled(run, "tgt", expected), max_input_length=0)
    for row, ids, other, result in zip(rows, expected, found, scored, strict=True):
        src = torch.tensor([[*row, EOS]])
        logits = run.model(src, torch.tensor([len(row) + 1]), torch.tensor([[BOS, *ids]]))[0].log_softmax(-1)
        own = logits.gather(1, torch.tensor([*ids, EOS])[:, None])[:, 0]
        difference = _largest(own - torch.tensor(result.log_probs))
        yield Answer(ids, other, difference, margin_of(logits, ids, other))


def error_rates(run: Run, directory: Path, texts: Texts, compute_type: str) -> dict[str, dict[str, float]]:
    """Return the figures of the model and of its quantized export side by side, both with greedy search.

    The references of texts that were made up are the model's own outputs.
    """
    codec = run.coding.codecs["tgt"]
    own = [codec.decode(ids) for ids in own_outputs(run, texts.sources)]
    quantized = translate(run, open_translator(directory, compute_type), texts.sources)
    references = texts.references or [[text] for text in own]
    corpus = _sources(run, texts.sources)
    corpus.references, corpus.raw_references, corpus.source_texts = references, references, texts.sources
    found = {"fp32": own, compute_type: [codec.decode(ids) for ids in quantized]}
    rows = np.arange(len(own))
    return {name: judge_texts(corpus, rows, outputs, codec, bleu=run.setting.bleu).scores.metrics()
            for name, outputs in found.items()}  # fmt: skip

"""Several runs that answer together: by averaged probabilities, by scoring each other's outputs, or by votes."""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from zoo.config import TrainConfig
from zoo.data.coding import Coding
from zoo.data.corpus import Array, TextCorpus
from zoo.data.tokenize import Codec
from zoo.errors import ConfigError
from zoo.evaluation import Decoding, Outcome, judge_probabilities, judge_texts
from zoo.experiment.run import Output, Run, labels_of, open_run, setting_of
from zoo.models.ensemble import Ensemble
from zoo.search import Hypothesis

CANDIDATES = 5
"""Outputs that each voter names, unless a wider beam or more outputs are asked for."""


@overload
def load(name: str | Path, /, *, device: str = ...) -> Run: ...


@overload
def load(name: str | Path, second: str | Path, /, *others: str | Path, device: str = ...) -> "Committee": ...


def load(name: str | Path, /, *others: str | Path, device: str = "auto") -> "Run | Committee":
    """Open a run by its directory, a file in it, `last`, or an installed model; several answer together as a Committee.

    `device` is auto (cuda where there is one), cpu or cuda. Raises CheckpointError where there is no run or it is
    damaged, DataError for damaged vocabularies, and ConfigError for a device that is not there, runs that cannot
    answer together, and code that may not be imported.
    """
    runs = [open_run(one, device=device) for one in (name, *others)]
    return Committee(runs) if others else runs[0]


class Committee:
    """Runs that answer together, with the methods of one: `predict`, `outcome`, `evaluate`.

    Runs with the same vocabularies form a group, and answer with the mean of their probabilities, for sequences at
    each step of the search. The groups of classifiers are averaged too. Groups that write the same symbols, but from
    the other end or from other sources, each name their best outputs, and score all of these: the highest mean over the
    runs of an output's log-probability wins (Sennrich et al., 2016, "Edinburgh Neural Machine Translation Systems for
    WMT 16"). Groups that write other symbols vote: each scales the probabilities of its outputs to sum to the number
    of its runs; an output's votes are summed over the groups, and the most votes win. Of equals, that of the group
    named first, and there the likelier one. Options of searching, and the data that are scored, are those of the first
    run.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        _check_alike(self.runs)
        found: dict[Hashable, list[Run]] = defaultdict(list)
        for run in self.runs:
            found[vocabularies_of(run)].append(run)
        self.sizes = [len(group) for group in found.values()]
        self.groups = [joined(group) for group in found.values()]

    def __repr__(self) -> str:
        return f"Committee({self.runs})"

    @property
    def config(self) -> TrainConfig:
        """The options of the first run."""
        return self.runs[0].config

    @property
    def coding(self) -> Coding:
        """The vocabularies and labels of the first run."""
        return self.runs[0].coding

    def predict(self, texts: Iterable[str], *, beam: int | None = None, nbest: int = 1) -> list[Any]:
        """Return one prediction for each text: a Label, an Output, or with `nbest` above 1 a list of Outputs.

        The score of an output that several groups have scored is the mean of their log-probabilities over length to the
        power of the penalty, of one that was voted for the logarithm of its share of the votes.
        """
        first = self.groups[0]
        if len(self.groups) == 1:
            return first.predict(texts, beam=beam, nbest=nbest)
        if isinstance(texts, str):
            raise TypeError("`predict` takes a list of texts, not one; write predict([text])")
        lines = list(texts)
        first.decoding(beam, nbest)
        if not lines:
            return []
        if first.coding.labels:
            return labels_of(self.probabilities(lines), first.coding.labels)
        return [found[:nbest] if nbest > 1 else found[0] for found in self._ranked(lines, beam, nbest)]

    def probabilities(self, lines: list[str]) -> Array:
        """Return the mean over all runs of the probability of each label for each text, (texts, labels)."""
        names = self.groups[0].coding.labels
        total = np.zeros((len(lines), len(names)))
        for group, size in zip(self.groups, self.sizes, strict=True):
            columns = [group.coding.labels.index(name) for name in names]
            total += size * group.probabilities(lines)[:, columns]
        return total / len(self.runs)

    def _ranked(self, lines: list[str], beam: int | None, nbest: int) -> list[list[Output]]:
        """Return the outputs of all groups for each text, the best first."""
        widths = [beam or max(group.setting.decoding.width, nbest, CANDIDATES) for group in self.groups]
        decodings = [group.decoding(width, width) for group, width in zip(self.groups, widths, strict=True)]
        if len({symbols_of(group) for group in self.groups}) == 1:
            return self._scored(lines, decodings)
        return self._elected(lines, decodings)

    def _scored(self, lines: list[str], decodings: list[Decoding]) -> list[list[Output]]:
        """Return the outputs by the mean of their log-probabilities over all runs."""
        named = self._named(lines, decodings)
        pairs = [(line, text) for line, texts in zip(lines, named, strict=True) for text in texts]
        logs, tokens = self._mean_logs([line for line, _ in pairs], [text for _, text in pairs])
        rated = zip(self._scores(logs, tokens), np.exp(logs).tolist(), strict=True)
        outputs = [[Output(text, *next(rated)) for text in texts] for texts in named]
        return [sorted(found, key=lambda one: -one.score) for found in outputs]

    def _named(self, lines: list[str], decodings: list[Decoding]) -> list[list[str]]:
        """Return the outputs that any group finds for each line, each once."""
        longest = min(decoding.max_length for decoding in decodings)  # so that each group can score them
        named: list[dict[str, None]] = [{} for _ in lines]
        for group, decoding in zip(self.groups, decodings, strict=True):
            hypotheses = group.hypotheses(lines, decoding._replace(max_length=longest))
            for texts, found in zip(named, hypotheses, strict=True):
                texts |= dict.fromkeys(group.coding.codecs["tgt"].decode(one.ids) for one in found)
        return [list(texts) for texts in named]

    def scores(self, lines: list[str], outputs: list[str]) -> list[float]:
        """Return the score of each output for its line: its mean log-probability over length to the penalty's power."""
        return self._scores(*self._mean_logs(lines, outputs))

    def _scores(self, logs: Array, tokens: Array) -> list[float]:
        return [float(score) for score in logs / tokens ** self.groups[0].setting.decoding.length_penalty]

    def _mean_logs(self, lines: list[str], outputs: list[str]) -> tuple[Array, Array]:
        """Return the means over the runs of each output's log-probability and of its number of tokens."""
        logs, tokens = np.zeros(len(lines)), np.zeros(len(lines))
        for group, size in zip(self.groups, self.sizes, strict=True):
            found, lengths = group.log_probabilities(lines, outputs)
            logs += size * found
            tokens += size * lengths
        return logs / len(self.runs), tokens / len(self.runs)

    def _elected(self, lines: list[str], decodings: list[Decoding]) -> list[list[Output]]:
        """Return the outputs by their votes."""
        ballots: list[list[Ballot]] = [[] for _ in lines]
        for group, size, decoding in zip(self.groups, self.sizes, decodings, strict=True):
            for row, found in zip(ballots, group.hypotheses(lines, decoding), strict=True):
                row.append(ballot_of(found, group.coding.codecs["tgt"], decoding, votes=size))
        return [elect(row, len(self.runs)) for row in ballots]

    def warnings(self) -> list[str]:
        """Return what there is to say of the texts predicted so far, a line each; of several groups, each its own."""
        if len(self.groups) == 1:
            return self.groups[0].warnings()
        return [f"{group.directory.path}: {line}" for group in self.groups for line in group.warnings()]

    def outcome(self, split: str = "test", *, files: Sequence[str] | None = None, beam: int | None = None) -> Outcome:
        """Return what the runs together make of each source of a part, or of `files`, and what that is worth."""
        first = self.groups[0]
        if len(self.groups) == 1:
            return first.outcome(split, files=files, beam=beam)
        first.decoding(beam, 1)
        corpus = first.read(split, files=files)
        if isinstance(corpus, TextCorpus):
            return judge_probabilities(corpus, self.probabilities(corpus.texts), labels=first.coding.labels)
        rows = corpus.spread(0 if files else first.config.test_limit)
        ranked = self._ranked([corpus.source_texts[row] for row in rows], beam, 1)
        texts = [found[0].text for found in ranked]
        return judge_texts(corpus, rows, texts, first.coding.codecs["tgt"], bleu=first.setting.bleu)

    def evaluate(
        self, split: str = "test", *, files: Sequence[str] | None = None, beam: int | None = None
    ) -> dict[str, Any]:
        """Return the metrics of a part of the first run's data, or of `files` instead."""
        return self.outcome(split, files=files, beam=beam).metrics()


def vocabularies_of(run: Run) -> Hashable:
    """Return what runs must have in common for their probabilities to be of the same things."""
    sides = [
        (side, codec.tokenizer.name, codec.lowercase, codec.direction, tuple(codec.vocab.tokens))
        for side, codec in run.coding.codecs.items()
    ]
    return tuple(sides), tuple(run.coding.labels)


def symbols_of(run: Run) -> Hashable:
    """Return what runs must have in common to spell each other's outputs."""
    codec = run.coding.codecs["tgt"]
    return codec.tokenizer.name, codec.lowercase, frozenset(codec.vocab.tokens)


def joined(runs: Sequence[Run]) -> Run:
    """Return runs that share vocabularies as one, whose model is their ensemble; the options are those of the first.

    Sources and outputs are no longer than each of them can read and write.
    """
    if len(runs) == 1:
        return runs[0]
    made = copy(runs[0])
    made.cut, made.unknown = 0, Counter()  # not shared with the run itself
    made.model = Ensemble([run.model for run in runs]).eval()
    longest = min(run.config.model.max_length for run in runs)
    made.config = replace(made.config, model=replace(made.config.model, max_length=longest))
    made.coding = made.coding._replace(max_output=min(run.coding.max_output for run in runs))
    made.setting = setting_of(made.config, made.coding, made.device, made.setting.precision)
    return made


def _check_alike(runs: list[Run]) -> None:
    """Raise ConfigError where runs cannot answer together."""
    first = runs[0]
    for run in runs[1:]:
        if bool(run.coding.labels) != bool(first.coding.labels):
            kinds = ["finds labels" if one.coding.labels else "writes sequences" for one in (first, run)]
            raise ConfigError(
                f"{first.directory.path} {kinds[0]} and {run.directory.path} {kinds[1]}: name runs of one task"
            )
        if set(run.coding.labels) != set(first.coding.labels):
            raise ConfigError(
                f"{first.directory.path} knows the labels {', '.join(first.coding.labels)}, but {run.directory.path} "
                f"{', '.join(run.coding.labels)}; name runs that know the same labels"
            )


Ballot = dict[str, float]
"""Votes of a group for each text that it might write."""


def ballot_of(found: Sequence[Hypothesis], codec: Codec, decoding: Decoding, *, votes: int) -> Ballot:
    """Divide `votes` among a group's outputs for a source by their probabilities; equal texts add up."""
    logs = np.array([decoding.log_probability(one) for one in found])
    shares = np.exp(logs - logs.max())
    ballot: Ballot = {}
    for one, share in zip(found, (votes * shares / shares.sum()).tolist(), strict=True):
        text = codec.decode(one.ids)
        ballot[text] = ballot.get(text, 0.0) + share
    return ballot


def elect(ballots: Sequence[Ballot], voters: int) -> list[Output]:
    """Return the texts by the sum of their votes, the most first; of equals, that which was named first."""
    votes: Ballot = {}
    for ballot in ballots:
        for text, share in ballot.items():
            votes[text] = votes.get(text, 0.0) + share
    ranked = sorted(votes.items(), key=lambda pair: -pair[1])
    return [Output(text, math.log(max(share / voters, 1e-300)), share / voters) for text, share in ranked]

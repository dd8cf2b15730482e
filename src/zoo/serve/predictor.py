"""A run, or several together, as the server asks them: texts in, JSON values out."""

import os
from collections import Counter
from typing import Any

import torch

from zoo.errors import ConfigError
from zoo.experiment import Committee, Label, Output, Run
from zoo.experiment.run import has_attention
from zoo.serve.limits import BATCH_PREFIXES, BATCH_TEXTS
from zoo.serve.question import Refusal, Search

FEW = 5
"""Unknown tokens of a text that are named."""


class Predictor:
    """Answers texts with what `zoo predict --format jsonl` writes, and more where it is asked for.

    `answer` computes and belongs on one thread; the rest answers at once. Texts are cut and unknown tokens are told
    of as the first run has them.
    """

    def __init__(self, model: Run | Committee, names: list[str]) -> None:
        self.model, self.names = model, names
        self.groups = model.groups if isinstance(model, Committee) else [model]
        self.first = self.groups[0]
        self.labels = self.first.coding.labels
        self.attends = isinstance(model, Run) and has_attention(model.model, model.config)

    def check(self, search: Search) -> None:
        """Raise Refusal where a search does not fit the model."""
        if search.attention and not self.attends:
            why = "several runs together have none to show" if len(self.names) > 1 else "this model has none"
            raise Refusal(422, f"`attention` cannot be given, {why}; leave it out")
        if self.labels and search.beam is not None:
            raise Refusal(422, "`beam` has no effect on a model that finds labels; leave it out")
        try:
            self.first.decoding(search.beam, search.nbest or 1)
        except ConfigError as error:
            raise Refusal(422, str(error)) from error

    def batch_size(self, search: Search) -> int:
        """Return how many texts of a search to answer together."""
        width = 1 if self.labels else self.first.decoding(search.beam, search.nbest or 1).width
        return max(1, min(BATCH_TEXTS, BATCH_PREFIXES // width))

    def prepare(self) -> None:
        """Leave a core to the server, unless OMP_NUM_THREADS is set, and compile what the first text needs."""
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, torch.get_num_threads() - 1))
        self.answer(["a"], Search())

    def answer(self, texts: list[str], search: Search) -> list[dict[str, Any]]:
        """Return one JSON object for each text."""
        with torch.inference_mode():
            return self._answers(texts, search)

    def _answers(self, texts: list[str], search: Search) -> list[dict[str, Any]]:
        found = self.model.predict(texts, beam=search.beam, nbest=search.nbest or 1)
        for group in self.groups:  # they count what was cut or unknown for a command's last words, without end
            group.cut, group.unknown = 0, Counter()
        return [self._shown(text, one, search) for text, one in zip(texts, found, strict=True)]

    def _shown(self, text: str, found: Label | Output | list[Output], search: Search) -> dict[str, Any]:
        answer: dict[str, Any] = {"input": text}
        if isinstance(found, Label):
            ranked = sorted(found.probabilities.items(), key=lambda pair: -pair[1])[: search.nbest]
            answer |= {"label": found.label, "probability": found.probability, "probabilities": dict(ranked)}
        else:
            best = found if isinstance(found, list) else [found]
            answer |= best[0]._asdict()
            if search.nbest is not None:
                answer["nbest"] = [one._asdict() for one in best]
        if search.attention:
            answer["attention"] = self._attention(text, search)
        return answer | self._remarks(text)

    def _attention(self, text: str, search: Search) -> dict[str, Any]:
        assert isinstance(self.model, Run)
        weights, source, target = self.model.attention(text, beam=search.beam, nbest=search.nbest or 1)
        return {"source": source, "target": target, "weights": weights.astype(float).round(4).tolist()}

    def _remarks(self, text: str) -> dict[str, Any]:
        """Say what of a text the model did not read."""
        codec = self.first.coding.codecs["text" if self.labels else "src"]
        tokens, longest = codec.split(text), self.first.config.model.max_length
        unknown = list(dict.fromkeys(token for token in tokens if token not in codec.vocab.ids))
        return ({"unknown": unknown[:FEW]} if unknown else {}) | ({"cut_to": longest} if len(tokens) > longest else {})

"""What TensorBoard shows of a run beyond its curves: samples, pictures, histograms and points.

None of it is worth a training: what fails is left out with a warning.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from zoo.config import TrainConfig
from zoo.data import Data
from zoo.data.corpus import Array, TextCorpus
from zoo.data.vocab import RESERVED
from zoo.distributed import alone
from zoo.evaluation import Setting, probabilities
from zoo.experiment.inspection import encoder_states, inside, token_table
from zoo.experiment.measure import Measured, greedily
from zoo.experiment.run import attention_of, has_attention
from zoo.record import Cloud, Recorder, confusion_figure
from zoo.record.confusion import confusion_counts

PICTURES = 3
"""Sources whose attention is drawn, the same after each epoch."""
SNAPSHOTS = 20
"""Epochs of which histograms are kept, about: evenly spread, and the first and the last."""
CURVES = 20
"""Labels that get a curve of precision and recall, at most: the most frequent ones."""
CLUSTERS = 8
"""Clusters of the encoder states where no labels say how many."""


class Gallery:
    """Shows a run's model, its data and what comes of them through a recorder."""

    def __init__(self, config: TrainConfig, data: Data, setting: Setting, recorder: Recorder) -> None:
        self.config, self.data, self.setting, self.recorder = config, data, setting, recorder
        self.open = not recorder.silent  # of several processes, one shows

    @contextmanager
    def _optional(self, what: str) -> Iterator[None]:
        try:
            with alone():
                yield
        except Exception as error:
            self.recorder.note(f"warning: {what} left out ({error})")

    def show_outcome(self, model: nn.Module, step: int, measured: Measured) -> None:
        """Show samples, which modules have dead units, and the attention over some sources."""
        self.recorder.samples(step, measured.samples)
        self.recorder.scalars(step, {f"dead_units/{name}": share for name, share in measured.dead_units.items()})
        if self.open and measured.samples and has_attention(model, self.config):
            with self._optional("the attention pictures were"):
                self._draw_attention(model, step, [source for source, *_ in measured.samples])

    def _draw_attention(self, model: nn.Module, step: int, sources: list[str]) -> None:
        places = np.linspace(0, len(sources) - 1, min(PICTURES, len(sources))).astype(int)
        longest, setting = self.config.model.max_length, greedily(self.setting)
        for number, source in enumerate(dict.fromkeys(sources[place] for place in places), 1):
            drawn = attention_of(model, self.data.coding, setting, source, longest)
            self.recorder.attention(step, f"{number} {source}", *drawn)

    def show_inside(self, model: nn.Module, epoch: int, step: int) -> None:
        """Show how weights, gradients and activations are spread, at about `SNAPSHOTS` epochs of a run."""
        every = -(-self.config.epochs // SNAPSHOTS)
        if self.open and self.config.histograms and (epoch == 1 or epoch % every == 0 or epoch == self.config.epochs):
            with self._optional("the histograms were"):
                self.recorder.histograms(step, inside(model, self.data.sample, self.setting))

    def show_end(self, model: nn.Module, step: int) -> None:
        """Show where the best epoch is right and wrong on the validation part, and the points it has made."""
        if not self.open:
            return
        found = None
        if isinstance(self.data.valid, TextCorpus):
            with self._optional("precision, recall and confusion were"):
                found = probabilities(model, self.data.valid, self.setting)
                self._draw_labels(step, found, self.data.valid.labels)
        if self.config.projector_points:
            with self._optional("the Projector's points were"):
                self.recorder.points([*self._tokens(model), *self._labels(model), *self._states(model, found)])

    def _draw_labels(self, step: int, found: Array, labels: Array) -> None:
        names = self.data.labels
        counts = confusion_counts(labels, found.argmax(1), len(names))
        self.recorder.image(step, "confusion", confusion_figure(counts, names))
        frequent = np.argsort(-counts.sum(1), kind="stable")[:CURVES]
        for number in frequent[counts.sum(1)[frequent] > 0]:
            self.recorder.precision_recall(step, f"valid/{names[number]}", labels == number, found[:, number])

    def _tokens(self, model: nn.Module) -> Iterator[Cloud]:
        """Yield the embeddings of the most frequent tokens of each side; a vocabulary of both sides once."""
        shown: list[object] = []
        for side, codec in self.data.codecs.items():
            table = token_table(model, side, len(codec.vocab))
            if table is None or any(codec.vocab is other for other in shown):
                continue
            shown.append(codec.vocab)
            tokens = codec.vocab.tokens[: self.config.projector_points]
            vectors = table.weight.detach()[RESERVED : RESERVED + len(tokens)].float().cpu().numpy()
            ranks = range(1, len(tokens) + 1)
            yield Cloud(f"{side}_tokens", vectors, {"token": tokens, "rank": ranks})

    def _labels(self, model: nn.Module) -> Iterator[Cloud]:
        """Yield the output layer's vector of each label."""
        output, names = getattr(model, "output", None), self.data.labels
        if isinstance(output, nn.Linear) and names:
            vectors = output.weight.detach().float().cpu().numpy()
            yield Cloud("labels", vectors, {"label": names, "rows": self.data.label_counts()})

    def _states(self, model: nn.Module, found: Array | None) -> Iterator[Cloud]:
        """Yield the encoder's states of validation examples, with their clusters."""
        states = encoder_states(model, self.data.valid, self.setting, limit=self.config.projector_points)
        if states is not None:
            rows, vectors = states
            columns = self._label_columns(rows, found) if found is not None else self._pair_columns(rows)
            clusters = cluster_numbers(vectors, len(self.data.labels) or CLUSTERS)
            yield Cloud("states", vectors, {**columns, "cluster": clusters.tolist()})

    def _label_columns(self, rows: Array, found: Array) -> dict[str, list[str]]:
        corpus, names = self.data.valid, [*self.data.labels, "(unknown)"]
        assert isinstance(corpus, TextCorpus)
        known = np.where(corpus.labels[rows] >= 0, corpus.labels[rows], -1)
        best = found[rows].argmax(1)
        return {
            "text": [corpus.texts[row] for row in rows],
            "label": [names[number] for number in known],
            "predicted": [names[number] for number in best],
            "right": ["yes" if right else "no" for right in known == best],
        }

    def _pair_columns(self, rows: Array) -> dict[str, list[str]]:
        corpus = self.data.valid
        assert not isinstance(corpus, TextCorpus)
        return {
            "source": [corpus.source_texts[row] for row in rows],
            "reference": [corpus.references[row][0] for row in rows],
            "length": [str(length) for length in corpus.sources.lengths_of(rows)],
        }


def cluster_numbers(vectors: Array, clusters: int, *, rounds: int = 20) -> Array:
    """Return for each of vectors (points, dim) the number of its cluster, from 1, by k-means from k-means++, seed 0.

    Written out here because what has it otherwise takes 0.3 s to import, at the end of every training.
    """
    points, generator = torch.from_numpy(vectors).double(), torch.Generator().manual_seed(0)
    centers = points[:1]
    while len(centers) < clusters and (far := distances(points, centers).amin(1).square()).any():
        centers = torch.cat([centers, points[torch.multinomial(far, 1, generator=generator)]])
    nearest = distances(points, centers).argmin(1)
    for _ in range(rounds):
        counts = torch.bincount(nearest, minlength=len(centers))[:, None]
        sums = torch.zeros_like(centers).index_add(0, nearest, points)
        centers = torch.where(counts > 0, sums / counts.clamp(min=1), centers)
        nearest = distances(points, centers).argmin(1)
    return nearest.numpy() + 1


def distances(points: Tensor, centers: Tensor) -> Tensor:
    """Return Euclidean distances (points, centers), exactly zero between equal ones."""
    return torch.cdist(points, centers, compute_mode="donot_use_mm_for_euclid_dist")

"""Training texts that are changed anew each epoch, so that a model meets a text in many forms."""

import numpy as np

from zoo.data.corpus import Sequences


def swap_neighbors(sequences: Sequences, share: float, *, seed: int, epoch: int) -> Sequences:
    """Let each token change places with the next one of its sequence with chance `share`, no token twice.

    A function of (seed, epoch) alone. After the random swaps of Wei and Zou (2019, EDA), which take any two words.
    """
    count = len(sequences.ids)
    chosen = np.random.default_rng((seed, epoch)).random(count) < share
    chosen[sequences.offsets[1:][sequences.lengths > 0] - 1] = False  # the last one has no next one
    places = np.arange(count)
    before = np.maximum.accumulate(np.where(chosen, -1, places))  # the last place that was not chosen
    first = np.flatnonzero(chosen & ((places - before) % 2 == 1))  # every other one of neighbors that were all chosen
    ids = sequences.ids.copy()
    ids[first], ids[first + 1] = sequences.ids[first + 1], sequences.ids[first]
    return Sequences(ids, sequences.offsets)

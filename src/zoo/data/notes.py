"""What was counted while the data was read, in words."""

from collections.abc import Mapping

MEANINGS = {
    "train_empty": "training rows with an empty side were dropped",
    "train_too_long": "training rows longer than `model.max_length` were dropped",
    "train_cut": "training texts were cut to `model.max_length`",
    "valid_empty": "validation rows have an empty side; what they alone hold counts as an error",
    "valid_cut": "validation sources were cut to `model.max_length`",
    "valid_targets_cut": "validation targets were cut to `model.max_length` for the loss",
    "valid_unknown_tokens": "tokens of the validation part are unknown in training",
    "valid_unknown_labels": "validation rows have a label that no training row has, and count as errors",
    "valid_sources_in_train": "validation sources are in the training part too (dataset.leakage=error refuses them)",
    "test_empty": "test rows have an empty side; what they alone hold counts as an error",
    "test_cut": "test sources were cut to `model.max_length`",
    "test_targets_cut": "test targets were cut to `model.max_length` for the loss",
    "test_unknown_tokens": "tokens of the test part are unknown in training",
    "test_unknown_labels": "test rows have a label that no training row has, and count as errors",
    "test_sources_in_train": "test sources are in the training part too (dataset.leakage=error refuses them)",
}

SUSPECT = ("valid_sources_in_train", "test_sources_in_train")
"""What makes figures better than they are."""


def describe_notes(notes: Mapping[str, int]) -> list[str]:
    """Return one line for each note, as `3 training rows with an empty side were dropped`."""
    return [
        f"{'warning: ' if key in SUSPECT else ''}{notes[key]:,} {meaning}"
        for key, meaning in MEANINGS.items()
        if notes.get(key)
    ]

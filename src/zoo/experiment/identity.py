"""Whether a checkpoint, a config and the data at hand belong together."""

import hashlib
from typing import Any

from zoo.config import TrainConfig, to_dict
from zoo.data import Data
from zoo.data.corpus import PairCorpus, TextCorpus
from zoo.data.prepared import ShardedCorpus
from zoo.data.tokenize import Codec
from zoo.errors import CheckpointError, ConfigError
from zoo.record import flat_options


def digests_of(data: Data) -> dict[str, str]:
    """Return what tells this vocabulary and this training data from others."""
    train = data.train
    vocabulary = vocabulary_digest(data.codecs, data.labels)
    if isinstance(train, ShardedCorpus):
        return {"vocabulary": vocabulary, "training data": train.digest}
    rows = hashlib.sha256()
    sides = [train.src, train.tgt] if isinstance(train, PairCorpus) else [train.text]
    for sequences in sides:
        rows.update(sequences.ids.data)
        rows.update(sequences.offsets.data)
    if isinstance(train, TextCorpus):
        rows.update(train.labels.data)
    return {"vocabulary": vocabulary, "training data": rows.hexdigest()}


def vocabulary_digest(codecs: dict[str, Codec], labels: list[str]) -> str:
    """Return what tells these vocabularies and labels from others of the same size."""
    digest = hashlib.sha256()
    for side, codec in codecs.items():
        digest.update("\0".join([side, *codec.vocab.tokens, *labels]).encode())
        if codec.backwards:
            digest.update(codec.direction.encode())
    return digest.hexdigest()


def check_digests(saved: Any, own: dict[str, str], where: str) -> None:
    """Raise CheckpointError where the vocabulary or the training data are others than the checkpoint's."""
    for what, digest in own.items():
        if not isinstance(saved, dict) or saved.get(what) != digest:
            raise CheckpointError(
                f"{where}: the {what} is not the one that the checkpoint was made with; restore it, or start a new run"
            )


def check_same(saved: TrainConfig, config: TrainConfig, where: str) -> None:
    """Raise CheckpointError where a checkpoint's model, optimizer or seed is another one."""
    old, new = to_dict(saved), to_dict(config)
    pairs = [(f"model.{key}", old["model"].get(key), value) for key, value in new["model"].items()]
    pairs = [pair for pair in pairs if pair[0] not in ("model.dropout", "model.word_dropout", "model.teacher_forcing")]
    pairs += [
        ("optimizer.name", old["optimizer"]["name"], new["optimizer"]["name"]),
        ("ema", bool(old["ema"]), bool(new["ema"])),
        ("seed", old["seed"], new["seed"]),
    ]
    _refuse(pairs, where)


def check_batches(saved: TrainConfig, config: TrainConfig, where: str) -> None:
    """Raise CheckpointError where an epoch that is under way would be cut otherwise, and skip or repeat rows."""
    old, new = flat_options(saved), flat_options(config)
    keys = ("batch_tokens", "dataset.batch_size", "dataset.window", "accumulate")
    _refuse([(key, old.get(key), new.get(key)) for key in keys], f"{where} (which stands within an epoch)")


def check_metric(saved: dict[str, Any], monitor: str, direction: str, where: str) -> None:
    """Raise CheckpointError where the best epoch so far was picked by another metric, or the other way round."""
    _refuse([("monitor", saved["monitor"], monitor), ("direction", saved["direction"], direction)], where)


def _refuse(pairs: list[tuple[str, Any, Any]], where: str) -> None:
    """Raise CheckpointError for the first (option, value then, value now) that differs."""
    for key, before, now in pairs:
        if before != now:
            raise CheckpointError(
                f"{where}: `{key}` is {now}, but the checkpoint was made with {before}; "
                f"set {key}={before} or start a new run"
            )


def check_nothing_changed(saved: TrainConfig, config: TrainConfig, where: str) -> None:
    """Raise ConfigError where options were changed that a finished run would pass over in silence.

    How long it may run is not one of them: that the run has finished is the answer.
    """
    old, new = flat_options(saved), flat_options(config)
    length = ("epochs", "max_steps", "max_seconds")
    changed = [f"{key}={value}" for key, value in new.items() if value != old[key] and key not in length]
    if changed:
        raise ConfigError(
            f"{where} has finished, so {', '.join(changed)} would have no effect; raise epochs, max_steps or "
            "max_seconds to train on, or start a new run"
        )

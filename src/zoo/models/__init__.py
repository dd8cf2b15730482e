"""The model families and one dict from name to builder; torch is imported when a model is built."""

from collections.abc import Callable
from dataclasses import fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from zoo import config as options
from zoo.errors import unknown

if TYPE_CHECKING:
    from torch import nn

    from zoo.data.sizes import PairSizes, Sizes, TextSizes


def build_seq2seq(config: options.Seq2SeqConfig, sizes: "Sizes") -> "nn.Module":
    """Return the recurrent sequence model."""
    from zoo.models.seq2seq import Seq2Seq

    src_vocab, tgt_vocab, shared = _pair(config.name, sizes)
    return Seq2Seq(src_vocab, tgt_vocab, shared_vocabulary=shared, **_arguments(config, leave="max_length"))


def build_transformer(config: options.TransformerConfig, sizes: "Sizes") -> "nn.Module":
    """Return the Transformer."""
    from zoo.models.transformer import Transformer

    src_vocab, tgt_vocab, shared = _pair(config.name, sizes)
    return Transformer(src_vocab, tgt_vocab, shared_vocabulary=shared, **_arguments(config))


def build_classifier(config: options.ClassifierConfig, sizes: "Sizes") -> "nn.Module":
    """Return the classifier with activations as modules."""
    from zoo.models.classifier import Classifier

    return Classifier(*_text(config.name, sizes), **_arguments(config, leave="max_length"))


def build_classifier_functional(config: options.ClassifierConfig, sizes: "Sizes") -> "nn.Module":
    """Return the classifier with activations as functions."""
    from zoo.models.classifier_functional import ClassifierFunctional

    return ClassifierFunctional(*_text(config.name, sizes), **_arguments(config, leave="max_length"))


def build_linear(config: options.LinearClassifierConfig, sizes: "Sizes") -> "nn.Module":
    """Return logistic regression on runs of tokens."""
    from zoo.models.linear import LinearClassifier

    return LinearClassifier(*_text(config.name, sizes), **_arguments(config, leave="max_length"))


MODELS: dict[str, Callable[[Any, "Sizes"], "nn.Module"]] = {
    "seq2seq": build_seq2seq,
    "transformer": build_transformer,
    "classifier": build_classifier,
    "classifier_functional": build_classifier_functional,
    "linear": build_linear,
}


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the models that match a shell pattern, such as `class*`."""
    return [name for name in MODELS if fnmatchcase(name, pattern)]


def build_model(config: Any, sizes: "Sizes") -> "nn.Module":
    """Return a new model; config holds what the user chose, sizes what the data determines."""
    if options.is_own(config.name):
        from zoo.models.own import build_own

        return build_own(config, sizes)
    if config.name not in MODELS:
        raise ValueError(unknown("model", config.name, MODELS))
    return MODELS[config.name](config, sizes)


def create_model(name: str, *, sizes: "Sizes", **choices: Any) -> "nn.Module":
    """Return a new model of this name with options of its config, such as `dropout=0.3`, on the CPU in training mode.

    `sizes` is what the data determines: PairSizes(src_vocab, tgt_vocab, shared) or TextSizes(vocab, classes), reserved
    ids included. Raises ConfigError on unknown names and on values that are out of range or do not fit together, and
    ValueError for sizes of the other task.
    """
    return build_model(options.model_config(name, choices), sizes)


def count_parameters(model: "nn.Module") -> int:
    """Return how many numbers training changes; tied matrices count once."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def _arguments(config: Any, leave: str = "") -> dict[str, Any]:
    """Return a config's fields as arguments of a model; `leave` names one that only the data heeds."""
    values = {item.name: getattr(config, item.name) for item in fields(config)}
    return {key: value for key, value in values.items() if key not in ("name", leave)}


def _pair(name: str, sizes: "Sizes") -> "PairSizes":
    from zoo.data.sizes import PairSizes

    if not isinstance(sizes, PairSizes):
        raise ValueError(f"model {name!r} needs `sizes` of pairs, PairSizes(src_vocab, tgt_vocab), but got {sizes!r}")
    return sizes


def _text(name: str, sizes: "Sizes") -> "TextSizes":
    from zoo.data.sizes import TextSizes

    if not isinstance(sizes, TextSizes):
        raise ValueError(f"model {name!r} needs `sizes` of texts, TextSizes(vocab, classes), but got {sizes!r}")
    return sizes

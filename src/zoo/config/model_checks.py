"""Checks of a model's options that its types alone do not say."""

from typing import Any

from zoo.config.datasets import Task
from zoo.config.models import (
    CLASSIFIERS,
    Attention,
    ClassifierConfig,
    Encoder,
    LinearClassifierConfig,
    Positions,
    Seq2SeqConfig,
    TransformerConfig,
)
from zoo.config.own import is_own, own_model
from zoo.errors import ConfigError


def task_of_model(model: Any) -> Task:
    """Return the kind of task that a model config can learn."""
    if is_own(model.name):
        return own_model(model.name).task
    return Task.labelled if model.name in CLASSIFIERS else Task.pairs


def check_model(model: Any) -> None:
    """Raise ConfigError where options of a model do not fit together."""
    if isinstance(model, TransformerConfig) and model.d_model % model.nhead:
        raise ConfigError(f"`model.nhead` must divide `model.d_model` ({model.d_model}), but is {model.nhead}")
    if (
        isinstance(model, TransformerConfig)
        and model.positions == Positions.rotary
        and model.d_model // model.nhead % 2
    ):
        raise ConfigError(
            "`model.d_model` over `model.nhead` must be even for rotary positions, but is "
            f"{model.d_model // model.nhead}"
        )
    if isinstance(model, Seq2SeqConfig) and model.input_feeding and model.attention == Attention.none:
        raise ConfigError("`model.input_feeding` needs an attention; set `model.attention`")
    if isinstance(model, Seq2SeqConfig) and model.bidirectional and model.hidden_size % 2:
        raise ConfigError(f"`model.hidden_size` must be even for two directions, but is {model.hidden_size}")
    if isinstance(model, ClassifierConfig):
        if model.encoder == Encoder.transformer and model.hidden_size % model.nhead:
            raise ConfigError(
                f"`model.nhead` must divide `model.hidden_size` ({model.hidden_size}), but is {model.nhead}"
            )
        if not model.kernel_sizes or min(model.kernel_sizes) < 1:
            raise ConfigError(f"`model.kernel_sizes` must be numbers of at least 1, but is {model.kernel_sizes}")
        if model.encoder in RECURRENT and model.bidirectional and model.hidden_size % 2:
            raise ConfigError(f"`model.hidden_size` must be even for two directions, but is {model.hidden_size}")
        _check_idle(model)
    if isinstance(model, LinearClassifierConfig) and model.ngrams == 1 and model.buckets != type(model)().buckets:
        raise ConfigError("`model.buckets` has no effect with `model.ngrams` 1; it goes with 2 and more")


RECURRENT = (Encoder.rnn, Encoder.gru, Encoder.lstm)
ENCODERS_OF = {
    "num_layers": (*RECURRENT, Encoder.transformer),
    "bidirectional": RECURRENT,
    "pooling": RECURRENT,
    "nhead": (Encoder.transformer,),
    "kernel_sizes": (Encoder.cnn,),
}
"""Options of the classifiers that only some encoders have."""


def _check_idle(model: ClassifierConfig) -> None:
    """Refuse an option that was changed but has no effect on the chosen encoder."""
    defaults = ClassifierConfig()
    for key, encoders in ENCODERS_OF.items():
        if model.encoder not in encoders and getattr(model, key) != getattr(defaults, key):
            fits = ", ".join(encoders)
            raise ConfigError(f"`model.{key}` has no effect on the encoder {model.encoder}; it goes with {fits}")

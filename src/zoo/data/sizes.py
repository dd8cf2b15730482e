"""What a model has to know about the data."""

from typing import NamedTuple


class PairSizes(NamedTuple):
    """Vocabulary sizes of a sequence task, reserved ids included; `shared` where both are one vocabulary."""

    src_vocab: int
    tgt_vocab: int
    shared: bool = False


class TextSizes(NamedTuple):
    """Vocabulary size and number of classes of a classification task."""

    vocab: int
    classes: int


Sizes = PairSizes | TextSizes

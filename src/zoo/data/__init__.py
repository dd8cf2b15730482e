"""Data: from files, packages and seeds to batches of ids."""

from zoo.data.batch import IGNORE, Batch, PairBatch, TextBatch
from zoo.data.build import Data, build_data, load_codecs, read_split, save_codecs
from zoo.data.coding import Coding
from zoo.data.corpus import Corpus, PairCorpus, Sequences, TextCorpus
from zoo.data.loader import Loader
from zoo.data.notes import describe_notes
from zoo.data.sizes import PairSizes, Sizes, TextSizes
from zoo.data.tokenize import Codec
from zoo.data.vocab import BOS, EOS, PAD, UNK, Vocab

__all__ = [
    "BOS",
    "EOS",
    "IGNORE",
    "PAD",
    "UNK",
    "Batch",
    "Codec",
    "Coding",
    "Corpus",
    "Data",
    "Loader",
    "PairBatch",
    "PairCorpus",
    "PairSizes",
    "Sequences",
    "Sizes",
    "TextBatch",
    "TextCorpus",
    "TextSizes",
    "Vocab",
    "build_data",
    "describe_notes",
    "load_codecs",
    "read_split",
    "save_codecs",
]

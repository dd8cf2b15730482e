"""The parts of a dataset share no source, stay as they are when rows come or go, and are read again alike."""

import unicodedata
from hashlib import blake2b
from pathlib import Path

import pytest
from small_files import LABELLED, PAIRS, SIDES, labelled, paired, pairs, same, text, train_sources, write

from zoo.config import ClassifierConfig, CmudictConfig, Leakage, ToyConfig, TrainConfig, check
from zoo.data import build_data, load_codecs, read_split, save_codecs
from zoo.data.splits import hashes, some_held_out
from zoo.errors import ConfigError, DataError


def test_held_out_parts_share_no_source_and_nothing_is_lost(tmp_path: Path) -> None:
    data = build_data(pairs(write(tmp_path, "t.tsv", PAIRS)))
    sides = [train_sources(data), set(paired(data.valid).source_texts)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 100
    assert 3 < len(sides[1]) < 20
    assert data.test is None
    assert data.notes.keys() <= {"valid_unknown_tokens"}


def test_a_row_stays_in_its_part_when_others_come_or_go(tmp_path: Path) -> None:
    whole = build_data(pairs(write(tmp_path, "a.tsv", PAIRS)))
    lines = PAIRS.splitlines(keepends=True)
    fewer = build_data(pairs(write(tmp_path, "b.tsv", "".join(lines[::-1][:70]))))
    assert train_sources(fewer) <= train_sources(whole)
    assert set(paired(fewer.valid).source_texts) <= set(paired(whole.valid).source_texts)


def test_a_smaller_fraction_holds_out_some_of_the_same_sources(tmp_path: Path) -> None:
    train = write(tmp_path, "t.tsv", PAIRS)
    half, tenth, least = (
        set(paired(build_data(pairs(train, valid_fraction=share)).valid).source_texts) for share in (0.5, 0.1, 0.001)
    )
    assert least < tenth < half
    assert len(least) == 1
    assert 35 < len(half) < 65


def test_a_fraction_of_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`dataset\.valid_fraction` must be above 0 and below 1, but is 1\.0"):
        check(pairs(write(tmp_path, "t.tsv", PAIRS), valid_fraction=1.0))


def test_valid_without_test_gives_no_test(tmp_path: Path) -> None:
    train, valid = write(tmp_path, "t.tsv", PAIRS), write(tmp_path, "v.tsv", "x\ty\n")
    data = build_data(pairs(train, valid=valid))
    assert data.test is None
    assert len(data.train) == 100
    config = pairs(train, valid=valid)
    with pytest.raises(DataError, match=r"has no test part; set `dataset\.test`"):
        read_split(config, data.codecs, data.labels, "test")


def test_test_without_valid_holds_out_valid_alone(tmp_path: Path) -> None:
    data = build_data(pairs(write(tmp_path, "t.tsv", PAIRS), test=write(tmp_path, "e.tsv", "x\ty\n")))
    assert paired(data.test).source_texts == ["x"]
    assert len(data.train) + len(data.valid) == 100


@pytest.mark.parametrize("sources", [2, 3, 4])
def test_few_sources_give_train_and_valid_at_least_one(sources: int) -> None:
    held = some_held_out(hashes(f"s{i}" for i in range(sources)), valid=0.1, where="f")
    assert len(held) == sources
    assert 1 <= held.sum() <= sources - 1
    with pytest.raises(DataError, match=r"f: holds one source only, so none can be held out; set `dataset\.valid`"):
        some_held_out(hashes(["a", "a"]), valid=0.1, where="f")


def test_hashes_are_the_same_on_every_machine_and_spread_evenly() -> None:
    digest = int.from_bytes(blake2b("한".encode(), digest_size=8).digest(), "little")
    assert hashes(["한"])[0] == pytest.approx(digest / 2**64, abs=1e-15)
    drawn = hashes([str(i) for i in range(2000)])
    assert abs(drawn.mean() - 0.5) < 0.02
    assert 0 <= drawn.min() <= drawn.max() < 1


def test_test_sources_in_train_are_counted_twins_of_other_unicode_forms_too(tmp_path: Path) -> None:
    train = write(tmp_path, "t.tsv", PAIRS + "café\tx\n")
    test = write(tmp_path, "e.tsv", unicodedata.normalize("NFD", "café") + "\tx\nword3\ty\nnew\tz\nword3\tz\n")
    valid = write(tmp_path, "v.tsv", "other\tx\n")
    assert build_data(pairs(train, valid=valid, test=test)).notes["test_sources_in_train"] == 2
    with pytest.raises(DataError, match="2 sources of the test part are in the training part too"):
        build_data(pairs(train, valid=valid, test=test, leakage=Leakage.error))


def test_lowercase_makes_twins_of_cases_before_parts_are_made(tmp_path: Path) -> None:
    rows = PAIRS + PAIRS.upper()
    data = build_data(pairs(write(tmp_path, "t.tsv", rows), lowercase=True))
    assert not train_sources(data) & set(paired(data.valid).source_texts)
    assert data.codecs["src"].encode("WORD1") == data.codecs["src"].encode("word1")
    kept = build_data(labelled(write(tmp_path, "l.tsv", LABELLED.replace("odd", "Odd")), lowercase=True))
    assert kept.labels == ["Odd", "even"]


def configs(directory: Path) -> list[TrainConfig]:
    toys = {"train_size": 60, "valid_size": 9, "test_size": 9}
    train, held = write(directory, "t.tsv", PAIRS), write(directory, "v.tsv", "a\tb\n\tc\nd\t\n")
    return [
        TrainConfig(dataset=ToyConfig(name="sort", **toys)),
        TrainConfig(model=ClassifierConfig(), dataset=ToyConfig(name="parity", **toys)),
        pairs(train),
        pairs(train, valid=held, test=held, max_length=3 + 3, shared_vocabulary=True, **SIDES),
        labelled(write(directory, "l.tsv", LABELLED)),
        TrainConfig(dataset=CmudictConfig(limit=50)),
    ]


@pytest.mark.parametrize("number", range(6))
def test_a_finished_run_reads_the_same_parts_with_its_saved_vocabularies(tmp_path: Path, number: int) -> None:
    config = configs(tmp_path)[number]
    data = build_data(config)
    save_codecs(data, tmp_path)
    codecs, labels, _ = load_codecs(tmp_path)
    assert same(read_split(config, codecs, labels, "valid"), data.valid)
    if data.test is not None:
        assert same(read_split(config, codecs, labels, "test"), data.test)
    with pytest.raises(ConfigError, match="unknown split 'tests'; did you mean 'test'"):
        read_split(config, codecs, labels, "tests")


def test_given_parts_are_read_again_without_the_training_file(tmp_path: Path) -> None:
    train, held = write(tmp_path, "t.tsv", PAIRS), write(tmp_path, "v.tsv", "a\tb\n")
    config = pairs(train, valid=held)
    data = build_data(config)
    Path(train).unlink()
    assert same(read_split(config, data.codecs, data.labels, "valid"), data.valid)


def test_other_files_are_read_by_the_rules_of_the_dataset(tmp_path: Path) -> None:
    config = labelled(write(tmp_path, "t.tsv", "x\ty\n" + LABELLED), columns=["y", "x"])
    swapped = "".join(f"{row.split(chr(9))[1]}\t{row.split(chr(9))[0]}\n" for row in LABELLED.splitlines())
    config.dataset.train = write(tmp_path, "s.tsv", "x\ty\n" + swapped)
    data = build_data(config)
    other = write(tmp_path, "o.tsv", "x\ty\nodd\ttext number 3\n")
    corpus = text(read_split(config, data.codecs, data.labels, files=other))
    assert corpus.texts == ["text number 3"]
    assert corpus.labels.tolist() == [1]
    toy = TrainConfig(dataset=ToyConfig(train_size=20, valid_size=5, test_size=5))
    built = build_data(toy)
    sides = [write(tmp_path, "a", "ab\n"), write(tmp_path, "b", "ba\n")]
    assert paired(read_split(toy, built.codecs, [], files=sides)).references == [["ba"]]

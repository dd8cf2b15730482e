import pytest

from zoo.config import ToyConfig
from zoo.data.toys import build_target, parity, read_toy
from zoo.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "target"), [("copy", "dabc"), ("reverse", "cbad"), ("sort", "abcd"), ("parity", "even")]
)
def test_each_task_has_its_target(name: str, target: str) -> None:
    assert build_target(name, 4)("dabc") == target


def test_parity_counts_the_letters_of_the_first_half() -> None:
    assert parity("aab", 4) == "odd"
    assert parity("aacdd", 4) == "even"
    assert parity("z", 26) == "even"
    assert parity("m", 26) == "odd"


@pytest.mark.parametrize("name", ["copy", "parity"])
def test_held_out_sequences_are_unseen_and_each_comes_once(name: str) -> None:
    config = ToyConfig(name=name, symbols=5, max_length=6, train_size=3000, valid_size=200, test_size=300)
    parts = read_toy(config, seed=1)
    assert parts.test is not None
    train, valid, test = (set(rows.sources) for rows in (parts.train, parts.valid, parts.test))
    assert not train & valid
    assert not train & test
    assert not valid & test
    assert [len(parts.train.sources), len(valid), len(test)] == [3000, 200, 300]


def test_lengths_are_uniform_and_train_meets_them_all() -> None:
    parts = read_toy(ToyConfig(train_size=20000), seed=1)
    counts = [sum(len(text) == n for text in parts.train.sources) for n in range(1, 21)]
    assert min(counts) > 850
    assert max(counts) < 1150
    assert set("".join(parts.train.sources)) == set("abcdefghijklmnopqrstuvwxyz")


def test_the_seed_decides_everything() -> None:
    config = ToyConfig(name="sort", train_size=50, valid_size=10, test_size=10)
    assert read_toy(config, seed=3) == read_toy(config, seed=3)
    assert read_toy(config, seed=3) != read_toy(config, seed=4)


def test_too_few_sequences_are_refused_with_the_options_to_change() -> None:
    config = ToyConfig(symbols=2, max_length=3, valid_size=10, test_size=10)
    with pytest.raises(ConfigError, match=r"raise `dataset.max_length` or `dataset.symbols`, or lower"):
        read_toy(config, seed=1)


def test_one_length_alone_works() -> None:
    parts = read_toy(ToyConfig(min_length=4, max_length=4, train_size=9, valid_size=2, test_size=2), seed=0)
    assert {len(text) for text in parts.train.sources} == {4}

"""Tables of runs fit a terminal and say what differs."""

import pytest

from zoo.cli.tables import leaderboard
from zoo.tune.rows import Row

EIGHT = (
    "optimizer.lr={} optimizer.weight_decay={} model.dropout={} model.word_dropout={} model.hidden_size={} "
    "model.norm={} label_smoothing={} batch_tokens={}"
)


def rows(*overrides: str) -> list[Row]:
    return [
        Row(number, text, "finished", number, 0, "accuracy", 0.5, None, 5, 5, 22.3, f"runs/{number}")
        for number, text in enumerate(overrides, 1)
    ]


@pytest.mark.parametrize("columns", [80, 100])
def test_a_table_of_eight_settings_fits_a_terminal_and_names_what_had_no_room(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    two = rows(EIGHT.format(0.001643, 0.0001, 0.2, 0, 256, "layer", 0.1, 1024),
               EIGHT.format(0.002, 0.0, 0.5, 0.3, 128, "none", 0.0, 2048))  # fmt: skip
    lines = leaderboard(two, "trial", first=["batch_tokens", "model.norm"]).splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[1].split()[:5] == ["rank", "trial", "accuracy", "tokens", "norm"]
    assert lines[2].split()[:5] == ["1", "1", "0.5000", "1024", "layer"]
    assert lines[-1].startswith("no room for ")
    assert lines[-1].endswith("label_smoothing")


def test_settings_that_are_the_same_in_all_runs_are_left_out_and_names_are_short_where_they_tell_apart() -> None:
    text = leaderboard(rows("a.x=1 b.x=1 c.y=3", "a.x=2 b.x=2 c.y=3"), "job")
    assert text.splitlines()[1].split() == ["rank", "job", "accuracy", "a.x", "b.x", "epochs", "seconds", "state"]


def test_values_with_spaces_and_equals_signs_stay_whole() -> None:
    text = leaderboard(rows("dataset.train=my file.csv seed=1", "dataset.train=/a/b=c seed=1"), "job")
    assert "my file.csv" in text
    assert "/a/b=c" in text
    assert "seed" not in text

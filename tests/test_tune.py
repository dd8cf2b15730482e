"""A search finds the better settings, ends what is hopeless, and says what mattered."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import inside
from tuning import SCRIPTED, TOY, table

import zoo.tune.search
from zoo.config import TrainConfig
from zoo.errors import DataError, DivergenceError, MemoryLimitError
from zoo.experiment import Watch
from zoo.tune.rows import Row, ranked


def test_a_search_finds_the_better_of_two_settings(rates: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert inside(*rates, "--trials", "5") == 0
    out = capfd.readouterr().out.splitlines()
    assert out[1].split()[:4] == ["rank", "trial", "accuracy", "lr"]
    assert out[2].split()[3] == "0.03"
    assert f"run    found/trial-{int(out[2].split()[1]):04d} (the best)" in out
    assert out[-1].startswith("best   zoo-train model=classifier dataset=parity ")
    assert out[-1].endswith(" optimizer.lr=0.03")
    rows = table()
    assert rows[0]["overrides"] == "optimizer.lr=0.03"
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]


def test_a_trial_is_a_run_that_its_line_repeats_to_the_bit_and_that_is_not_scored_on_test(
    rates: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside(*rates, "--trials", "1") == 0
    line = capfd.readouterr().out.splitlines()[-1].removeprefix("best   zoo-train ")
    assert inside("train", *line.split(), "run_dir=again") == 0
    one, other = (json.loads(Path(name, "results.json").read_text()) for name in ("found/trial-0001", "again"))
    assert one["valid"] == other["valid"]
    assert "test" not in one
    assert "test" in other


def test_the_first_trial_has_the_defaults_where_they_lie_in_the_space(
    scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside(*SCRIPTED, "--trials", "1") == 0
    assert scripted[0].model.dropout == 0.5


def test_the_columns_of_both_tables_are_the_same(rates: list[str]) -> None:
    assert inside(*rates, "--trials", "1") == 0
    assert inside("train", "-m", *TOY, "max_steps=1", "seed=1,2", "hydra.sweep.dir=sweep") == 0
    assert list(table()[0]) == list(table(Path("sweep/sweep.csv"))[0]) == list(Row._fields)
    assert Path("found/tune.csv").read_text().startswith("number,overrides,status,rank,exit_code,metric,valid,test,")


def test_equal_settings_are_not_trained_twice_and_a_small_space_ends_the_search(
    here: Path, scripted: list[TrainConfig]
) -> None:
    (here / "space.yaml").write_text("model.dropout: [0.0, 0.1]\n")
    assert inside(*SCRIPTED, "--seconds", "60", "--no-pruning") == 0
    assert sorted(config.model.dropout for config in scripted) == [0.0, 0.1]


def test_a_hopeless_trial_is_pruned_and_says_so(scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str]) -> None:
    assert inside(*SCRIPTED, "--trials", "16") == 0
    rows = table()
    pruned = [row for row in rows if row["status"] == "pruned"]
    assert pruned
    assert all(int(row["epochs"]) < 4 and row["rank"] == "0" for row in pruned)
    best = max(float(row["valid"]) for row in rows)
    assert float(rows[0]["valid"]) == best
    assert inside(*SCRIPTED[:-1], "whole", "--trials", "16", "--no-pruning") == 0
    assert not [row for row in table(Path("whole/tune.csv")) if row["status"] == "pruned"]


@pytest.mark.parametrize(("error", "code"), [(DivergenceError("nan"), 5), (MemoryLimitError("full"), 7),
                                             (RuntimeError("CUDA error: out of memory"), 7)])  # fmt: skip
def test_a_trial_that_diverges_or_has_no_memory_counts_as_failed_and_the_search_goes_on(
    error: Exception, code: int, here: Path, scripted: list[TrainConfig], monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    pretend = zoo.tune.search.train

    def fail(config: TrainConfig, *, watch: Watch) -> dict[str, Any]:
        if str(config.run_dir).endswith("2"):
            raise error
        return pretend(config, watch=watch)

    monkeypatch.setattr(zoo.tune.search, "train", fail)
    assert inside(*SCRIPTED, "--trials", "3") == 0
    failed = next(row for row in table() if row["number"] == "2")
    assert (failed["status"], failed["exit_code"]) == ("failed", str(code))
    assert failed["error"] == str(error)
    assert f"failed with exit code {code}: {error}" in capfd.readouterr().out


def test_settings_that_diverged_are_not_trained_again(
    here: Path, scripted: list[TrainConfig], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "space.yaml").write_text("model.dropout: [0.2, 0.5]\n")
    tried: list[float] = []

    def fail(config: TrainConfig, *, watch: Watch) -> None:
        tried.append(config.model.dropout)
        raise DivergenceError("nan")

    monkeypatch.setattr(zoo.tune.search, "train", fail)
    assert inside(*SCRIPTED, "--trials", "100") == 5
    assert sorted(tried) == [0.2, 0.5]
    assert len(table()) < 100, "a space in which nothing is left ends the search"
    assert {(row["status"], row["error"]) for row in table()} == {("failed", "nan")}


def test_wrong_data_ends_the_search(
    here: Path, scripted: list[TrainConfig], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(config: TrainConfig, *, watch: Watch) -> None:
        raise DataError("no rows")

    monkeypatch.setattr(zoo.tune.search, "train", fail)
    assert inside(*SCRIPTED, "--trials", "3") == 3
    assert [row["status"] for row in table()] == ["stopped"]


def test_where_all_trials_fail_the_exit_code_is_that_of_the_first(
    here: Path, scripted: list[TrainConfig], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(config: TrainConfig, *, watch: Watch) -> None:
        raise DivergenceError("nan")

    monkeypatch.setattr(zoo.tune.search, "train", fail)
    assert inside(*SCRIPTED, "--trials", "2") == 5
    assert "error: no trial has finished, and 2 failed" in capfd.readouterr().err


def test_settings_that_some_trials_lack_are_named_beside_their_importance(
    here: Path, scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "space.yaml").write_text(
        "model.dropout: {low: 0.0, high: 0.9, step: 0.1}\nmodel.encoder: [bag, gru]\n"
        "model.num_layers: {low: 1, high: 2, when: {model.encoder: gru}}\n"
    )
    assert inside(*SCRIPTED, "--trials", "10", "--no-pruning") == 0
    assert "not judged, since some trials lack them: model.num_layers" in capfd.readouterr().out
    assert inside(*SCRIPTED, "--trials", "10", "--no-pruning", "--json") == 0
    found = json.loads(capfd.readouterr().out)
    assert found["not_judged"] == ["model.num_layers"]
    assert set(found["importance"]) == {"model.dropout", "model.encoder"}


def test_importance_is_in_the_output_and_drawn(scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str]) -> None:
    assert inside(*SCRIPTED, "--trials", "8", "--no-pruning", "--json") == 0
    found = json.loads(capfd.readouterr().out)
    assert found["importance"] == {"model.dropout": pytest.approx(1.0)}
    assert found["best"].endswith(found["trials"][0]["overrides"])
    for name in ("importance.png", "history.png"):
        assert Path("found", name).read_bytes().startswith(b"\x89PNG")


def test_rows_are_ranked_by_what_is_good_of_their_metric_and_the_unfinished_come_last() -> None:
    rows = [
        Row(1, "a", "failed", exit_code=5),
        Row(2, "b", "finished", metric="loss", valid=0.5),
        Row(3, "c", "pruned", metric="loss", valid=0.1),
        Row(4, "d", "finished before", metric="loss", valid=0.2),
    ]
    assert [(row.number, row.rank) for row in ranked(rows)] == [(4, 1), (2, 2), (3, 0), (1, 0)]
    mixed = [*rows, Row(5, "e", "finished", metric="accuracy", valid=0.9)]
    assert ranked(mixed) == mixed

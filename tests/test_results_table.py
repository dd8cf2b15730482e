"""`scripts/results_table.py`: tables say what the rows hold, and the pages show them."""

from pathlib import Path
from statistics import mean, stdev

import pytest
import recipes
import results_table
from result_rows import row
from rows import ENSEMBLE, add_rows

from zoo.errors import StorageError

ROOT = Path(__file__).parents[1]


def test_the_pages_show_what_the_rows_say() -> None:
    for name, part in results_table.PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        made = results_table.page(text, part(ROOT / "results"))
        assert made == text, f"{name} differs from results/*.csv: run python scripts/reproduce.py --tables"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(StorageError, match="has no <!-- results:begin -->"):
        results_table.page("a page", "a table")


def cells(table: str, title: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {title}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_leaderboard_gives_mean_and_spread_over_seeds_and_says_which_part(tmp_path: Path) -> None:
    values = [0.90, 0.92, 0.97]
    rows = [row(seed=str(i), value=value, seconds=60.0 * i) for i, value in enumerate(values, 1)]
    rows += [row(model=ENSEMBLE, seed="", value=0.95, low=0.9, high=0.99, members="linear 1 2 3")]
    rows += [row(model="baseline: majority label", seed="", value=0.2, parameters=0)]
    add_rows(tmp_path / "trec6.csv", rows)
    expected = [f"{100 * mean(values):.2f} ± {100 * stdev(values):.2f}", "95.00 [90.00, 99.00] (3 models)",
                "20.00 (majority label)", "dev (10), 3 seeds", "1.50 M", "2.0"]  # fmt: skip
    found = cells(results_table.leaderboard(tmp_path), "TREC-6")
    assert [found[2], found[4], *found[5:]] == expected
    add_rows(tmp_path / "trec6.csv", [row(split="test", value=0.93)])
    found = cells(results_table.leaderboard(tmp_path), "TREC-6")
    assert [found[2], found[4], found[6]] == ["93.00", "-", "test (10), 1 of 3 seeds"]


def test_figures_of_two_metrics_stand_side_by_side_and_what_is_missing_is_a_stroke(tmp_path: Path) -> None:
    common = {"recipe": "sigmorphon2020", "task": "kor", "model": "lstm"}
    rows = [row(**common, metric=metric, value=value, hardware=machine, seed=seed, seconds=seconds)
            for metric, value in (("sequence_error_rate", 0.2), ("token_error_rate", 0.05))
            for seed, machine, seconds in (("1", "CPU", 600.0), ("2", "GPU", 30.0))]  # fmt: skip
    rows += [row(**{**common, "model": "baseline: half"}, metric="sequence_error_rate", seed="")]
    add_rows(tmp_path / "sigmorphon2020.csv", rows, tasks=recipes.tasks_of("sigmorphon2020"))
    table = results_table.leaderboard(tmp_path)
    found = cells(table, "the same, Korean")
    assert [found[2], *found[4:6], found[8]] == ["20.00 ± 0.00 / 5.00 ± 0.00", "-", "-", "10, 0.5"]
    assert cells(table, "SIGMORPHON")[4:] == ["-"] * 5
    assert cells(results_table.languages(tmp_path), "kor")[4] == found[2]

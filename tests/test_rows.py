"""`scripts/rows.py`: rows keep their keys, damaged files are refused, and processes that write at once lose nothing."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rows
from commands import PATIENCE
from result_rows import row
from rows import COLUMNS, ENSEMBLE, MACRO, add_rows, drop_others, read_rows

from zoo.errors import BusyError, DataError
from zoo.storage import alone

SCRIPTS = Path(__file__).parents[1] / "scripts"


def test_rows_of_the_same_key_are_replaced_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "new" / "trec6.csv"
    first = [row(seed="10"), row(seed="2", value=0.1), row(model="baseline: majority label", seed="")]
    add_rows(path, first)
    add_rows(path, [row(seed="2", value=0.25), row(model=ENSEMBLE, seed="", members="linear 2 10")])
    found = read_rows(path)
    assert [(one.model, one.seed) for one in found] == [
        ("baseline: majority label", ""), ("linear", "2"), ("linear", "10"), (ENSEMBLE, "")]  # fmt: skip
    assert [one.value for one in found if one.seed == "2"] == [0.25]
    assert first[0] in found
    with path.open(encoding="utf-8") as file:
        assert next(csv.reader(file)) == COLUMNS
    assert os.listdir(path.parent) == ["trec6.csv"]


def test_rows_of_an_earlier_recipe_go_with_the_first_new_one(tmp_path: Path) -> None:
    path = tmp_path / "trec6.csv"
    add_rows(path, [row(split="test"), row(), row(seed="2")])
    add_rows(path, [row(config="1")])
    assert [(one.seed, one.split, one.config) for one in read_rows(path)] == [("1", "dev", "1"), ("2", "dev", "0")]
    add_rows(path, [row(split="test", config="1"), row(split="test", seed="2")])
    add_rows(path, [row(config="1", commit="def"), row(seed="2", seconds=91.0)])  # trained again, without a test file
    assert {one.split for one in read_rows(path)} == {"dev"}
    together = [row(model=ENSEMBLE, seed="", members="linear 1 2", split=split) for split in ("dev", "test")]
    add_rows(path, together)
    add_rows(path, [row(model=ENSEMBLE, seed="", members="linear 1 2 3")])
    assert [one.members for one in read_rows(path) if one.model == ENSEMBLE] == ["linear 1 2 3"]


def test_rows_of_a_member_that_the_recipe_no_longer_has_go(tmp_path: Path) -> None:
    path, tasks = tmp_path / "trec6.csv", ["a", "b"]
    add_rows(path, [row(task=task, seed=seed) for task in tasks for seed in "12"], tasks=tasks)
    drop_others(path, "a", {("linear", "1")}, tasks=tasks)
    assert [(one.task, one.seed) for one in read_rows(path)] == [("a", "1"), ("b", "1"), ("b", "2"), (MACRO, "1")]


LINE = "trec6,,linear,1,dev,accuracy,0.5,0.4,0.7,10,1500000,90.0,a machine,,,0,1,abc"


@pytest.mark.parametrize(("lines", "message"), [
    (["a,b", "1,2"], r"trec6\.csv:1: malformed \(the columns are not recipe,task,"),
    ([","], "the columns are not"),
    ([",".join(COLUMNS), LINE, ",".join("x" for _ in COLUMNS)], r"trec6\.csv:3: malformed \(could not convert"),
    ([",".join(COLUMNS), LINE.removesuffix(",abc")], "csv:2: malformed"),
    ([",".join(COLUMNS), f"{LINE},"], "csv:2: malformed"),
    ([",".join(COLUMNS), LINE.replace("0.5", "nan")], "csv:2: malformed .a figure is not finite"),
    ([",".join(COLUMNS), LINE.replace("trec6", "r8")], "csv:2: malformed .the row is of another recipe"),
    ([",".join(COLUMNS), LINE, LINE], "csv:3: malformed .* twice"),
    ([",".join(COLUMNS), LINE.replace("abc", "\xe9")], "malformed"),
], ids=str)  # fmt: skip
def test_a_file_that_is_not_as_we_write_it_is_refused_and_stays(lines: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "trec6.csv"
    path.write_text("\n".join([*lines, ""]), encoding="latin-1")
    before = path.read_bytes()
    with pytest.raises(DataError, match=message):
        add_rows(path, [row(seed="2")])
    assert path.read_bytes() == before


def test_a_line_as_we_write_it_is_read_and_what_a_killed_write_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "trec6.csv"
    path.write_text(f"{','.join(COLUMNS)}\n{LINE}\n")
    (tmp_path / ".trec6.csv.1.tmp").touch()
    assert read_rows(path) == [row()]
    add_rows(path, [row()])
    assert os.listdir(tmp_path) == ["trec6.csv"]


def test_a_place_of_rows_that_another_process_keeps_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PATIENCE", 0.1)
    with alone(tmp_path), pytest.raises(BusyError, match=r"is writing rows here; .* with --results"):
        add_rows(tmp_path / "trec6.csv", [row()])


def test_the_mean_over_tasks_comes_with_the_last_of_them(tmp_path: Path) -> None:
    path = tmp_path / "trec6.csv"
    add_rows(path, [row(task="a", value=0.2, low=0.1, high=0.4)], tasks=["a", "b"])
    assert not [one for one in read_rows(path) if one.task == MACRO]
    add_rows(path, [row(task="b", value=0.4, low=0.3, high=0.4), row(task="b", seed="2")], tasks=["a", "b"])
    (found,) = [one for one in read_rows(path) if one.task == MACRO]
    assert (found.value, found.seed, found.sources, found.parameters) == (0.3, "1", 20, 1_500_000)
    assert found.low == pytest.approx(0.3 - 0.5 * 0.02**0.5, abs=1e-6)  # two independent errors of 0.1
    assert found.high == pytest.approx(0.3 + 0.1)
    add_rows(path, [row(task="b", value=0.6)], tasks=["a", "b"])
    assert [one.value for one in read_rows(path) if one.task == MACRO] == [0.4]


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rows import *\n"
        "for i in range(20):\n"
        "    values = {name: kind(0) for name, kind in TYPES.items()}\n"
        "    values |= {'recipe': 'x', 'task': sys.argv[2], 'seed': str(i)}\n"
        "    add_rows(Path(sys.argv[1]), [Row(**values)])\n"
    )
    path = str(tmp_path / "x.csv")
    started = [subprocess.Popen([sys.executable, "-c", code, path, task], cwd=SCRIPTS) for task in "abc"]
    assert [process.wait(PATIENCE) for process in started] == [0, 0, 0]
    assert len(read_rows(Path(path))) == 60

"""Reading tables of numbers: what is a feature, what is a label, and how each fault is named."""

from pathlib import Path

import numpy as np
import pytest

from zoo.errors import ConfigError, DataError, MemoryLimitError
from zoo.explore.table import read_table
from zoo.metrics import Array


def csv(folder: Path, text: str) -> str:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_label_and_the_text_are_no_features(tmp_path: Path) -> None:
    table = read_table(csv(tmp_path, 'a,label,b,text\n1,good,2,"one, two"\n3,bad,4e-1,three\n'))
    assert table.names == ("a", "b")
    assert table.x.dtype == np.float64
    assert table.x.tolist() == [[1, 2], [3, 0.4]]
    assert table.labels is not None
    assert table.labels.tolist() == ["good", "bad"]
    assert table.texts == ("one, two", "three")
    assert table.targets is None
    assert table.y is table.labels


def test_a_named_label_column_leaves_one_called_label_a_feature(tmp_path: Path) -> None:
    table = read_table(csv(tmp_path, "label,kind,b\n1,x,2\n3,y,4\n"), label="kind")
    assert table.names == ("label", "b")
    assert table.labels is not None
    assert table.labels.tolist() == ["x", "y"]


def test_whole_numbers_are_classes_and_fractions_are_targets(tmp_path: Path) -> None:
    whole = read_table(csv(tmp_path, "a,label\n1,0\n2,1\n"))
    assert whole.labels is not None
    assert whole.labels.tolist() == ["0", "1"]
    broken = read_table(csv(tmp_path, "a,label\n1,0\n2,1.5\n"))
    assert broken.labels is None
    assert broken.targets is not None
    assert broken.targets.tolist() == [[0], [1.5]]
    assert broken.y is broken.targets


def test_named_targets_are_numbers_whatever_they_hold(tmp_path: Path) -> None:
    table = read_table(csv(tmp_path, "a,b,c\n1,2,3\n4,5,6\n"), targets=["c", "a"])
    assert table.names == ("b",)
    assert table.targets is not None
    assert table.targets.tolist() == [[3, 1], [6, 4]]


def test_a_table_without_labels_has_none(tmp_path: Path) -> None:
    table = read_table(csv(tmp_path, "a,b\n1,2\n3,4\n"))
    assert table.y is None
    assert table.texts is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,city\n1,2\n3,Paris\n", r"table.csv:3: 'Paris' in column 'city' is no finite number; remove the column"),
        ("a,b\n1,2\n,4\n", r"table.csv:3: the value of 'a' is missing; fill it in, or remove the row or the column"),
        ("a,b\n1,NA\n", r"table.csv:2: the value of 'b' is missing"),
        ("a,b\n1,inf\n", r"table.csv:2: 'inf' in column 'b' is no finite number"),
        ("a,b\n1,2\n3\n", r"table.csv:3: expected 2 columns, found 1"),
        ("1,2\n3,4\n", r"table.csv:1: expected a header, found numbers"),
        ("a,a\n3,4\n", r"table.csv:1: two columns are named 'a'"),
        ("a,b\n", r"table.csv:1: holds no rows"),
        ("label,text\nx,y\n", r"table.csv:1: holds no features"),
        ("a,label\n1,x\n2,\n", r"table.csv:3: has no value in 'label'"),
        ('a,b\n1,2\n"3\n', r"table.csv:3: malformed CSV"),
        ("\n\n", r"table.csv:1: expected a header, found an empty line"),
        ("a,b\n1,2\n-1.7e308,3\n", r"table.csv:3: -1.7e308 in column 'a' is above 1e\+100; write it in a larger unit"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(csv(tmp_path, text))


def test_a_quoted_field_over_two_lines_does_not_shift_the_line_of_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"table.csv:4: 'x' in column 'a'"):
        read_table(csv(tmp_path, 'a,text\n1,"one\ntwo"\nx,three\n'))


def test_an_unknown_label_column_is_told_with_the_nearest(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,kind\n1,x\n")
    with pytest.raises(ConfigError, match=r"unknown column 'kinds'; did you mean 'kind'\? .*one of these with --label"):
        read_table(path, label="kinds")
    with pytest.raises(ConfigError, match=r"unknown column 'b' \(choices: a, kind\); name one of these with --targets"):
        read_table(path, targets=["a", "b"])


def test_a_column_of_labels_is_left_out_where_targets_are_named(tmp_path: Path) -> None:
    table = read_table(csv(tmp_path, "a,b,label\n1,2,x\n3,4,y\n"), targets=["b"])
    assert (table.names, table.labels) == (("a",), None)
    assert table.targets is not None
    assert table.targets.tolist() == [[2], [4]]


def test_an_array_takes_the_labels_beside_it_or_those_of_a_named_file(tmp_path: Path) -> None:
    path = tmp_path / "states.npy"
    np.save(path, np.arange(6, dtype=np.float32).reshape(3, 2))
    assert read_table(str(path)).y is None
    (tmp_path / "states.labels.txt").write_text("a\nb\na\n", encoding="utf-8")
    table = read_table(str(path))
    assert table.names == ("x0", "x1")
    assert table.x.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert table.labels is not None
    assert table.labels.tolist() == ["a", "b", "a"]
    np.save(tmp_path / "other.npy", np.array([[0.5, 1], [1, 2], [2, 3]]))
    other = read_table(str(path), label=str(tmp_path / "other.npy"))
    assert other.targets is not None
    assert other.targets.shape == (3, 2)
    np.save(tmp_path / "states.labels.npy", np.array([2, 1, 2]))
    beside = read_table(str(path))
    assert beside.labels is not None
    assert beside.labels.tolist() == ["2", "1", "2"]


def test_an_array_with_a_gap_or_too_few_labels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "states.npy"
    np.save(path, np.array([[1.0, 2], [3, np.nan]]))
    with pytest.raises(DataError, match=r"states.npy: nan at \[1, 1\] is no finite number"):
        read_table(str(path))
    np.save(path, np.ones((2, 2)))
    (tmp_path / "states.labels.txt").write_text("a\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"states.labels.txt: holds 1 rows, but .*states.npy 2; write one for each"):
        read_table(str(path))
    np.save(path, np.ones(3))
    with pytest.raises(DataError, match=r"expected numbers \(points, features\), found float64 \(3,\)"):
        read_table(str(path))


@pytest.mark.parametrize(("x", "message"), [
    (np.full((3, 2), 1.7e308), r"states.npy: 1.7e\+308 at \[0, 0\] is above 1e\+100; fill it in or remove it"),
    (np.full((3, 2), np.longdouble("1e4000")), r"is above 1e\+100|is no finite number"),
    (np.array([[1, 2], [3, np.inf]], dtype=np.float16), r"inf at \[1, 1\] is no finite number"),
])  # fmt: skip
def test_an_array_of_numbers_that_cannot_be_squared_is_refused(tmp_path: Path, x: Array, message: str) -> None:
    np.save(tmp_path / "states.npy", x)
    with pytest.raises(DataError, match=message):
        read_table(str(tmp_path / "states.npy"))


def test_an_array_that_says_it_is_larger_than_memory_ends_with_7(tmp_path: Path) -> None:
    path = tmp_path / "states.npy"
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**15, 5)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[arg-type]
    with pytest.raises(MemoryLimitError, match=r"states.npy: does not fit into memory; save fewer points"):
        read_table(str(path))


def test_a_point_without_a_label_is_named(tmp_path: Path) -> None:
    path = tmp_path / "states.npy"
    np.save(path, np.arange(6.0).reshape(3, 2))
    (tmp_path / "states.labels.txt").write_text("a\n\nb\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"states.labels.txt: has no label in row 1, from 0; label the point"):
        read_table(str(path))


def test_labels_are_no_features_beside_targets(tmp_path: Path) -> None:
    table = read_table(csv(tmp_path, "a,b,label\n1,2,x\n3,4,y\n"), targets=["b"])
    assert table.names == ("a",)
    assert table.labels is None


def test_nothing_in_an_array_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "states.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="is no array of numbers or texts"):
        read_table(str(path))


def test_other_files_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a table has labels or targets; name one of the two"):
        read_table(csv(tmp_path, "a,b,c\n1,2,3\n"), label="a", targets=["b"])
    with pytest.raises(ConfigError, match="has no names of columns; save the targets"):
        read_table(str(tmp_path / "states.npy"), targets=["b"])
    with pytest.raises(ConfigError, match=r"a table is a .csv or a .npy file"):
        read_table(str(tmp_path / "table.xlsx"))
    with pytest.raises(DataError, match="no such file"):
        read_table(str(tmp_path / "none.npy"))

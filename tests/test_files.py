import gzip
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.config import Header
from zoo.data import files
from zoo.data.lines import BLOCK, LONGEST_LINE
from zoo.data.splits import Rows
from zoo.errors import ConfigError, DataError

CLEAN = Rows(["one", "zwei \u2028 <pad>", ""], ["1", '"2', "3"])
TSV = 'one\t1\nzwei \u2028 <pad>\t"2\n\t3\n'.encode()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def read_rows(paths: str | list[str], **options: Any) -> Rows:
    return Rows.of(files.read_rows(paths, **options))


def write(directory: Path, name: str, content: bytes | str) -> str:
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    "content",
    [
        TSV,
        b"\xef\xbb\xbf" + TSV,
        TSV.replace(b"\n", b"\r\n"),
        TSV.removesuffix(b"\n"),
        TSV.removesuffix(b"\n") + b"\r\n",
    ],
    ids=["clean", "byte order mark", "CRLF", "no last newline", "last line alone CRLF"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_ways_to_write_the_same_lines_give_the_same_rows(tmp_path: Path, content: bytes, packed: bool) -> None:
    name = "rows.tsv.gz" if packed else "rows.tsv"
    assert read_rows(write(tmp_path, name, gzip.compress(content) if packed else content)) == CLEAN


def test_all_formats_give_the_same_rows(tmp_path: Path) -> None:
    csv = 'one,1\n"zwei \u2028 <pad>","""2"\n,3\n'
    objects = "".join(json.dumps({"a": a, "b": b}) + "\n" for a, b in zip(*CLEAN, strict=True))
    arrays = "".join(json.dumps(pair) + "\n" for pair in zip(*CLEAN, strict=True))
    sides = [write(tmp_path, "a", "one\nzwei \u2028 <pad>\n\n"), write(tmp_path, "b", '1\n"2\n3\n')]
    paths = [write(tmp_path, "r.csv", csv), write(tmp_path, "o.jsonl", objects), write(tmp_path, "a.jsonl", arrays)]
    assert [read_rows(path) for path in [*paths, sides]] == [CLEAN] * 4
    assert read_rows(paths[1], columns=["b", "a"]) == Rows(*reversed(CLEAN))


def test_a_quoted_field_runs_over_lines_and_the_next_error_counts_them(tmp_path: Path) -> None:
    text = 'a,"two\nlines"\nb,c\n'
    assert read_rows(write(tmp_path, "x.csv", text)).targets == ["two\nlines", "c"]
    assert read_rows(write(tmp_path, "w.csv", text.replace("\n", "\r\n"))).targets == ["two\nlines", "c"]
    fails(write(tmp_path, "y.csv", text + "d\n"), ":4: expected 2 columns, found 1")


def test_numbers_truth_and_null_of_json_become_text(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", '{"t": "a", "l": 1}\n{"t": null, "l": true}\n')
    assert read_rows(path) == Rows(["a", ""], ["1", "true"])


def test_columns_are_chosen_by_name_or_number(tmp_path: Path) -> None:
    path = write(tmp_path, "x.tsv", "id\ttext\tlabel\n7\tgood\tyes\n")
    assert read_rows(path, columns=["text", "label"]) == Rows(["good"], ["yes"])
    assert read_rows(path, columns=[2, 1], header=Header.true) == Rows(["yes"], ["good"])
    assert read_rows(path, columns=[1, 0]) == Rows(["text", "good"], ["id", "7"])
    assert read_rows(path, columns=["label", 0]) == Rows(["yes"], ["7"])


def test_a_header_of_two_aligned_files_is_skipped_in_both(tmp_path: Path) -> None:
    sides = [write(tmp_path, "a", "src\nx\n"), write(tmp_path, "b", "tgt\ny\n")]
    assert read_rows(sides, header=Header.true) == Rows(["x"], ["y"])


def fails(paths: str | list[str], message: str, **options: object) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_rows(paths, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tsv", b"", ": is empty"),
        ("x.tsv", b"a\tb\na\tb\tc\n", ":2: expected 2 columns, found 3"),
        ("x.tsv", b"a\tb\tc\na\tb\n", ":2: expected 3 columns, found 2"),
        ("x.tsv", b"a\tb\n\na\tb\n", ":2: expected 2 columns, found 1"),
        ("x.tsv", b"a\n", ":1: expected 2 columns, found 1"),
        ("x.tsv", b"a\tb\na\xff\tb\n", ":2: byte 2 is not UTF-8"),
        ("x.tsv", b"a\tb\na\0\tb\n", ":2: holds a NUL byte"),
        ("x.tsv", b"a\tb\n" + b"x" * LONGEST_LINE, ":2: a line of 10 MB"),
        ("x.tsv.gz", b"a\tb\n", ":1: malformed gzip"),
        ("x.tsv.gz", gzip.compress(b"a\tb\n" * 99, mtime=0)[:-9], "malformed gzip"),
        ("x.csv", b'a,b\na,"b\nc,d\n', ":2: malformed CSV"),
        ("x.csv", b'a,"b"c\n', ":1: malformed CSV"),
        ("x.csv", b'a,b\n\n', ":2: expected 2 columns, found 1"),
        ("x.jsonl", b'{"a": 1, "b": 2}\n{"a": 1, "b"\n', ":2: malformed JSON"),
        ("x.jsonl", b'{"a": 1, "b": 2}\n\n', ":2: malformed JSON"),
        ("x.jsonl", b'{"a": 1, "b": 2}\n{"a": 1}\n', ":2: unknown column 'b'"),
        ("x.jsonl", b'{"a": 1}\n', ":1: expected 2 columns, found 1"),
        ("x.jsonl", b'[1, 2]\n[1]\n', ":2: expected 2 columns, found 1"),
        ("x.jsonl", b'{"a": [1], "b": 2}\n', ":1: expected a text in 'a', found an array"),
        ("x.jsonl", b'{"a": "\\ud800", "b": 2}\n', ":1: 'a' holds a character that is no text"),
        ("x.jsonl", b'{"a": "\\u0000", "b": 2}\n', ":1: 'a' holds a character that is no text"),
        ("x.jsonl", b"7\n", ":1: expected a JSON object or array, found int"),
        ("x.jsonl", b"[" * 100_000 + b"\n", ":1: malformed JSON"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_named_with_its_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = write(tmp_path, name, content)
    fails(path, message)
    fails(path, path)


def test_of_two_faults_the_first_is_named_however_far_down(tmp_path: Path) -> None:
    lines = [b"a\tb\n"] * 3 * BLOCK
    lines[BLOCK + 9] = b"a\t\xff\n"
    fails(write(tmp_path, "x.tsv", b"".join(lines)), f":{BLOCK + 10}: byte 3 is not UTF-8")
    lines[BLOCK + 7] = b"a\n"
    fails(write(tmp_path, "y.tsv", b"".join(lines)), f":{BLOCK + 8}: expected 2 columns, found 1")


def test_long_files_are_read_whole_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = Rows(*([f"{side}{i}" for i in range(3 * BLOCK + 1)] for side in "st"))
    content = "".join(f"{source}\t{target}\r\n" for source, target in rows.each())
    assert read_rows(write(tmp_path, "x.tsv", content)) == rows
    assert read_rows(write(tmp_path, "x.tsv.gz", gzip.compress(content.encode()))) == rows
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    fails(str(tmp_path / "gone.tsv"), "gone.tsv: no such file")
    fails(str(tmp_path / "gone.tsv.gz"), "gone.tsv.gz: no such file")
    fails(str(tmp_path), "is a directory")


def test_files_of_unequal_length_are_refused_with_both_counts(tmp_path: Path) -> None:
    one, two = write(tmp_path, "one", "a\nb\nc\n"), write(tmp_path, "two", "a\nb\n")
    fails([one, two], f"{one}:3: has no counterpart: {one} has 3 lines, {two} has 2")
    fails([two, one], f"{one}:3: has no counterpart: {two} has 2 lines, {one} has 3")


def test_a_wrong_column_is_answered_with_the_nearest_name_or_the_count(tmp_path: Path) -> None:
    path = write(tmp_path, "x.tsv", "text\tlabel\na\tb\n")
    fails(path, ":1: unknown column 'lable'; did you mean 'label'? (choices: text, label)", columns=["text", "lable"])
    fails(path, ":1: expected 6 columns, found 2 (`dataset.columns` is [0, 5], counted from 0)", columns=[0, 5])
    fails(path, ":1: expected 2 columns, found 2 (`dataset.columns` is [0, -1]", columns=[0, -1])
    fails(write(tmp_path, "y.tsv", "text\tlabel\n"), "y.tsv: holds no rows", columns=["text", "label"])


def test_a_header_option_without_effect_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="need a first line with names"):
        read_rows(write(tmp_path, "x.tsv", "a\tb\n"), columns=["a", "b"], header=Header.false)
    with pytest.raises(ConfigError, match="has no meaning for"):
        read_rows(write(tmp_path, "x.jsonl", "{}"), header=Header.true)


names = st.sampled_from(["x.tsv", "x.csv", "x.jsonl", "x.tsv.gz", "x.jsonl.gz"])
json_like = st.lists(st.recursive(st.none() | st.text(max_size=3) | st.integers(), st.lists, max_leaves=5))
content = (
    st.binary(max_size=60)
    | st.text("ab\t,\"'\r\n\\{}[]:\u2028\ufeff\ud7ff", max_size=40).map(str.encode)
    | json_like.map(lambda rows: "\n".join(map(json.dumps, rows)).encode())
)


@given(
    name=names, content=content, packed=st.booleans(), columns=st.sampled_from([(0, 1), (1, 0), ("a", "b"), ("a", 3)])
)
@settings(max_examples=250, deadline=None)
def test_any_bytes_give_rows_of_text_or_a_data_error(scratch: Path, name: str, content: bytes, packed: bool,
                                                     columns: tuple[int | str, int | str]) -> None:  # fmt: skip
    path = write(scratch, name, gzip.compress(content) if packed and name.endswith(".gz") else content)
    rows = None
    with suppress(DataError):
        rows = read_rows(path, columns=columns)
    if rows is None:
        fails(path, path, columns=columns)
        return
    assert len(rows.sources) == len(rows.targets) > 0
    for text in (*rows.sources, *rows.targets):
        assert "\0" not in text
        assert text.encode().decode() == text


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\n\r"), max_size=8)


@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_text_is_never_interpreted(scratch: Path, rows: list[tuple[str, str]]) -> None:
    content = "\ufeff" + "".join(f"{source}\t{target}\n" for source, target in rows)
    assert list(zip(*read_rows(write(scratch, "t.tsv", content)), strict=True)) == rows

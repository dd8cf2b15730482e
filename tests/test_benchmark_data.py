"""The sections of `scripts/benchmark.py` about files and commands measure what they say."""

from pathlib import Path

from benchmark_data import bucket_iterator, first_batch, ingest, seconds_of, write_lines
from comparison import compare, recipe, table

from zoo.config import TrainConfig


def toy_pairs(folder: Path) -> TrainConfig:
    file = folder / "pairs.tsv"
    file.write_text("".join(f"{'ab' * (i % 5 + 1)}\tA{i} B\n" for i in range(600)), encoding="utf-8")
    return recipe(dataset="pairs", dataset__train=file, dataset__tgt_tokenizer="space", batch_tokens=64)


def test_a_written_file_is_read_with_all_its_tokens(tmp_path: Path) -> None:
    file = tmp_path / "lines.tsv"
    write_lines(file, 300)
    rows = file.read_text(encoding="utf-8").splitlines()
    assert len(rows) == 300
    assert all(3 <= len(side.split()) <= 40 for row in rows for side in row.split("\t"))
    tokens, seconds, megabytes = ingest(str(file))
    words = sum(len(row.split()) for row in rows)
    assert 0.6 * words < tokens <= words  # some sources are held out
    assert seconds > 0
    assert megabytes >= 0


def test_the_first_batch_and_torchtext_s_epoch_take_time(tmp_path: Path) -> None:
    config = toy_pairs(tmp_path)
    assert first_batch(config) > 0
    assert seconds_of(bucket_iterator(config)) > 0


def test_a_table_has_a_row_for_each_other_and_tells_what_is_absent() -> None:
    rows = compare("work", "s", lambda: 2.0, {"there": lambda: 4.0, "gone": "absent"}, repeats=2)
    assert table(rows).splitlines()[2:] == [
        "| work | s | 2 | there | 4 | 0.50 (0.50 to 0.50) |",
        "| work | s | 2 | gone: absent |  |  |",
    ]
    assert table(compare("work", "s", lambda: 2.0, {}, repeats=1)).endswith("| work | s | 2 |  |  |  |")

"""What becomes of rows: references, errors, cuts and notes, in a memory that does not grow with the file."""

import os
import random
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from small_files import LABELLED, PAIRS, labelled, paired, pairs, same, text, train_sources, write

from zoo.config import Tokenizer, TrainConfig
from zoo.data import IGNORE, UNK, Loader, TextSizes, build_data, describe_notes, load_codecs, save_codecs
from zoo.data.notes import MEANINGS
from zoo.errors import DataError, ZooError


def test_all_targets_of_a_source_are_its_references(tmp_path: Path) -> None:
    train, valid = write(tmp_path, "t.tsv", PAIRS), write(tmp_path, "v.tsv", "b\tx  y\na\tz\nb\tw\nb\tx y\n")
    corpus = paired(build_data(pairs(train, valid=valid)).valid)
    assert corpus.source_texts == ["b", "a"]
    assert corpus.references == [["x y", "w"], ["z"]]
    assert len(corpus) == 4
    assert len(corpus.sources) == 2


def test_empty_sides_leave_train_and_stay_as_errors_elsewhere(tmp_path: Path) -> None:
    held = write(tmp_path, "v.tsv", "a\t\n\tb\nc\td\n")
    data = build_data(pairs(write(tmp_path, "t.tsv", PAIRS + "x\t\n\ty\n"), valid=held))
    valid = paired(data.valid)
    assert len(data.train) == 100
    assert data.notes["train_empty"] == 2
    assert data.notes["valid_empty"] == 2
    assert valid.references == [[""], [""], ["d"]]
    assert [batch.src_lengths.tolist() for batch in Loader(valid, batch_tokens=99, shuffle=False)] == [[1, 2, 2]]


def test_an_empty_text_or_an_unseen_label_equals_no_prediction(tmp_path: Path) -> None:
    held = write(tmp_path, "v.tsv", "\todd\ntext\t\ntext\tnew\ntext\teven\n")
    data = build_data(labelled(write(tmp_path, "t.tsv", LABELLED + "\todd\n"), valid=held))
    assert text(data.valid).labels.tolist() == [IGNORE, IGNORE, IGNORE, 0]
    assert text(data.valid).text.row(0).tolist() == [UNK]
    assert data.labels == ["even", "odd"]
    assert (data.notes["train_empty"], data.notes["valid_empty"], data.notes["valid_unknown_labels"]) == (1, 2, 1)


def test_one_class_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "t.tsv", LABELLED.replace("odd", "even"))
    with pytest.raises(DataError, match="holds only the label 'even'; a classifier needs two labels"):
        build_data(labelled(path))


def test_what_is_too_long_is_dropped_from_train_and_cut_elsewhere(tmp_path: Path) -> None:
    train = write(tmp_path, "t.tsv", "abcd\tx y\nabc\tx y\nabcde\tx\na\tx x x x x\n")
    held = write(tmp_path, "v.tsv", "abcdf\tx x x x x\nab\tx\n")
    data = build_data(pairs(train, valid=held, max_length=4))
    valid = paired(data.valid)
    assert train_sources(data) == {"abcd", "abc"}
    assert data.notes == {"train_too_long": 2, "valid_unknown_tokens": 1, "valid_cut": 1, "valid_targets_cut": 1}
    assert data.codecs["src"].decode(valid.sources.row(0)) == "abcd"
    assert valid.references[0] == ["x x x x x"]
    assert valid.source_texts[0] == "abcdf"
    assert data.max_output == 4
    with pytest.raises(DataError, match=r"1 are longer than `model\.max_length` \(2\)"):
        build_data(pairs(write(tmp_path, "u.tsv", "abc\tx\n"), valid=held, max_length=2))


def test_texts_are_cut_and_counted(tmp_path: Path) -> None:
    data = build_data(labelled(write(tmp_path, "t.tsv", LABELLED), max_length=2))
    assert set(text(data.train).text.lengths.tolist()) == {2}
    assert data.notes["train_cut"] == len(data.train)


def test_limit_draws_training_rows_from_the_whole_file(tmp_path: Path) -> None:
    whole = build_data(labelled(write(tmp_path, "t.tsv", "".join(sorted(LABELLED.splitlines(True))))))
    few = build_data(labelled(write(tmp_path, "t.tsv", LABELLED), limit=20, min_count=1))
    assert len(few.train) == 20
    assert few.labels == ["even", "odd"]
    assert len(few.valid) == len(whole.valid)


@pytest.mark.parametrize("build", [pairs, labelled])
def test_the_text_of_the_training_part_is_never_in_memory(
    tmp_path: Path, build: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.data.tokenize.CHUNK", 100)
    words = ["".join(random.Random(i).choices("abcdefgh", k=40)) for i in range(50)]
    lines = (f"{i % 99} {' '.join(words[(i * j) % 50] for j in range(1, 12))}\t{words[i % 7]}\n" for i in range(20_000))
    train, valid = write(tmp_path, "t.tsv", "".join(lines)), write(tmp_path, "v.tsv", f"a\t{words[0]}\n")
    tokenizer = {"src_tokenizer": Tokenizer.space} if build is pairs else {"tokenizer": Tokenizer.space}
    tracemalloc.start()
    data = build_data(build(train, valid=valid, **tokenizer))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data.train) == 20_000
    assert peak < Path(train).stat().st_size / 2


def test_a_pipe_is_read_only_once(tmp_path: Path) -> None:
    rows, pipe = write(tmp_path, "t.tsv", PAIRS), tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(PAIRS,))
    writer.start()
    data, expected = build_data(pairs(str(pipe), limit=50)), build_data(pairs(rows, limit=50))
    writer.join()
    assert same(data.train, expected.train)
    assert same(data.valid, expected.valid)


def test_sizes_and_labels_are_those_of_the_task(tmp_path: Path) -> None:
    data = build_data(labelled(write(tmp_path, "t.tsv", LABELLED)))
    assert data.sizes == TextSizes(len(data.codecs["text"].vocab), 2)
    save_codecs(data, tmp_path)
    assert load_codecs(tmp_path).labels == ["even", "odd"]


def test_notes_become_lines_and_every_note_has_words(tmp_path: Path) -> None:
    held = write(tmp_path, "v.tsv", "word1\tw\n\tx\n漢\tzz\n")
    data = build_data(pairs(write(tmp_path, "t.tsv", PAIRS + "x\t\n"), valid=held, test=held))
    assert data.notes.keys() <= MEANINGS.keys()
    lines = describe_notes(data.notes)
    assert len(lines) == len(data.notes)
    assert lines[0] == "1 training rows with an empty side were dropped"


def test_every_failure_of_data_has_an_exit_code() -> None:
    assert issubclass(DataError, ZooError)
    assert DataError.exit_code == 3


def test_cmudict_is_ready_with_letters_and_phones() -> None:
    data = build_data(TrainConfig())
    assert data.sizes.src_vocab > 30  # type: ignore[union-attr]
    assert data.sizes.tgt_vocab == 4 + 39  # type: ignore[union-attr]
    test = paired(data.test)
    assert len(test.sources) == len(set(test.source_texts)) == len(test.references)
    assert max(map(len, test.references)) > 1


def test_bleu_sees_references_as_they_stand_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "t.tsv", PAIRS)
    valid = write(tmp_path, "v.tsv", "x\tA dog, Runs.\nx\ta dog , runs .\n")
    config = pairs(path, valid=valid, tgt_tokenizer=Tokenizer.word)
    corpus = paired(build_data(config).valid)
    assert corpus.references == [["a dog , runs ."]]
    assert corpus.raw_references == [["A dog, Runs."]]

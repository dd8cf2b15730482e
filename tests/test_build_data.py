import os
import random
import threading
import tracemalloc
import unicodedata
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest

from zoo.config import (
    ClassifierConfig,
    CmudictConfig,
    LabelledConfig,
    Leakage,
    PairsConfig,
    TgtDirection,
    Tokenizer,
    ToyConfig,
    TrainConfig,
    TransformerConfig,
)
from zoo.data import (
    IGNORE,
    UNK,
    Data,
    Loader,
    PairCorpus,
    PairSizes,
    TextCorpus,
    TextSizes,
    build_data,
    describe_notes,
    load_codecs,
    read_split,
    save_codecs,
)
from zoo.data.learn import _some_texts
from zoo.data.notes import MEANINGS
from zoo.data.splits import Rows, hashes, some_held_out
from zoo.errors import ConfigError, DataError, ZooError

PAIRS = "".join(f"word{i}\tw o r d {i}\n" for i in range(100))
LABELLED = "".join(f"text number {i}\t{'even' if i % 2 == 0 else 'odd'}\n" for i in range(100))


def write(directory: Path, name: str, content: str) -> str:
    (directory / name).write_text(content, encoding="utf-8")
    return str(directory / name)


def pairs(train: str, **options: object) -> TrainConfig:
    longest = options.pop("max_length", 512)
    return TrainConfig(model=TransformerConfig(max_length=longest), dataset=PairsConfig(train=train, **options))


def labelled(train: str, **options: object) -> TrainConfig:
    longest = options.pop("max_length", 512)
    return TrainConfig(model=ClassifierConfig(max_length=longest), dataset=LabelledConfig(train=train, **options))


def paired(corpus: object) -> PairCorpus:
    assert isinstance(corpus, PairCorpus)
    return corpus


def text(corpus: object) -> TextCorpus:
    assert isinstance(corpus, TextCorpus)
    return corpus


def train_sources(data: Data) -> set[str]:
    train = paired(data.train)
    return {data.codecs["src"].decode(train.src.row(i)) for i in range(len(train))}


def same(one: object, two: object) -> bool:
    left, right = vars(one), vars(two)
    return all(
        left[key] == right[key] if isinstance(left[key], list) or left[key] is None else
        np.array_equal(getattr(left[key], "ids", left[key]), getattr(right[key], "ids", right[key]))
        and np.array_equal(getattr(left[key], "offsets", 0), getattr(right[key], "offsets", 0))
        for key in left
    )  # fmt: skip


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


def test_limit_draws_training_rows_from_the_whole_file(tmp_path: Path) -> None:
    whole = build_data(labelled(write(tmp_path, "t.tsv", "".join(sorted(LABELLED.splitlines(True))))))
    few = build_data(labelled(write(tmp_path, "t.tsv", LABELLED), limit=20, min_count=1))
    assert len(few.train) == 20
    assert few.labels == ["even", "odd"]
    assert len(few.valid) == len(whole.valid)


SIDES = {"src_tokenizer": Tokenizer.bpe, "tgt_tokenizer": Tokenizer.bpe, "vocab_size": 40}


def test_a_shared_vocabulary_is_one_also_after_saving(tmp_path: Path) -> None:
    data = build_data(pairs(write(tmp_path, "t.tsv", PAIRS), shared_vocabulary=True, **SIDES))
    assert data.codecs["src"] is data.codecs["tgt"]
    save_codecs(data, tmp_path)
    loaded = load_codecs(tmp_path)
    assert loaded.codecs["src"] is loaded.codecs["tgt"]
    size = len(data.codecs["src"].vocab)
    assert loaded.sizes == data.sizes == PairSizes(size, size, True)
    assert loaded.max_output == data.max_output


@pytest.mark.parametrize("kind", [Tokenizer.bpe, Tokenizer.unigram])
def test_subword_sampling_redraws_train_each_epoch_from_the_seed(tmp_path: Path, kind: Tokenizer) -> None:
    options = {"src_tokenizer": kind, "tgt_tokenizer": Tokenizer.space, "vocab_size": 40, "subword_sampling": 0.3}
    texts = {
        f"{a}ing the {b}er {c}est" for a in ("walk", "talk", "read") for b in ("low", "new") for c in ("wide", "old")
    }
    config = pairs(write(tmp_path, "t.tsv", "".join(f"{text}\tt\n" for text in sorted(texts))), **options)
    drawn = []
    for epochs in ([1, 2], [2, 1]):
        data = build_data(config)
        loader = Loader(data.train, batch_tokens=64, seed=5)
        for epoch in epochs:
            loader.set_epoch(epoch)
            drawn.append((epoch, [batch.src.tolist() for batch in loader], paired(data.train).src.ids.tolist()))
        assert train_sources(data) <= texts
    assert drawn[0] == drawn[3]
    assert drawn[1] == drawn[2]
    assert drawn[0][2] != drawn[1][2]


def test_sampled_sequences_stay_within_the_longest(tmp_path: Path) -> None:
    rows = "same words here\tt\n" * 9 + "other\tt\n" * 9 + "third\tt\n"
    options = {"src_tokenizer": Tokenizer.bpe, "vocab_size": 60, "subword_sampling": 0.9, "max_length": 5}
    data = build_data(pairs(write(tmp_path, "t.tsv", rows), valid=write(tmp_path, "v.tsv", "a\tt\n"), **options))
    loader = Loader(data.train, batch_tokens=64)
    loader.set_epoch(1)
    assert max(int(batch.src_lengths.max()) for batch in loader) == 5 + 1


def test_sampling_without_subwords_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has an effect with the tokenizers bpe and unigram alone"):
        build_data(pairs(write(tmp_path, "t.tsv", PAIRS), subword_sampling=0.1))


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


@pytest.mark.parametrize("sides", [[0], [0, 1]])
def test_subwords_of_much_text_are_learned_from_a_share_of_it(sides: list[int],
                                                              monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    rows = Rows([f"source {i}" for i in range(1000)], [f"target {i}" for i in range(1000)])
    everything = [text for side in sides for text in rows[side]]
    assert list(_some_texts(rows, sides)) == everything
    monkeypatch.setattr("zoo.data.learn.ENOUGH", 2000)
    some = list(_some_texts(rows, sides))
    assert some == list(_some_texts(rows, sides))
    assert 1500 < sum(map(len, some)) < 2500
    assert [text for text in everything if text in set(some)] == some


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


def test_sizes_and_labels_are_those_of_the_task(tmp_path: Path) -> None:
    data = build_data(labelled(write(tmp_path, "t.tsv", LABELLED)))
    assert data.sizes == TextSizes(len(data.codecs["text"].vocab), 2)
    save_codecs(data, tmp_path)
    assert load_codecs(tmp_path).labels == ["even", "odd"]


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"sides": ["x"], "shared": false, "labels": [], "max_output": 1}']
)
def test_damaged_vocabulary_files_are_named(tmp_path: Path, content: str) -> None:
    write(tmp_path, "coding.json", content)
    with pytest.raises(DataError, match=r"coding\.json: "):
        load_codecs(tmp_path)


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


# ---- from right to left


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tgt_tokenizer": Tokenizer.bpe, "vocab_size": 20, "subword_sampling": 0.5},
        {"tgt_tokenizer": Tokenizer.char, "shared_vocabulary": True, "lowercase": True, "min_count": 2},
    ],
    ids=["plain", "sampled", "shared"],
)
def test_from_right_to_left_targets_are_turned_round_and_nothing_else_changes(
    tmp_path: Path, options: dict[str, object]
) -> None:
    rows, held = write(tmp_path, "t.tsv", PAIRS), write(tmp_path, "v.tsv", "wo\tA B\nwo\tB A\nnew\tw o r d 3\n")
    both = [build_data(pairs(rows, valid=held, tgt_direction=direction, **options)) for direction in TgtDirection]
    save_codecs(both[1], tmp_path)
    config = pairs(rows, valid=held, tgt_direction=TgtDirection.right_to_left, **options)
    coding = load_codecs(tmp_path)
    assert coding.sizes == both[0].sizes == both[1].sizes
    assert [codec.direction for codec in coding.codecs.values()] == [*TgtDirection]
    reopened = read_split(config, coding.codecs, coding.labels, "valid")
    for left, right in ((both[0].train, both[1].train), (both[0].valid, both[1].valid), (both[0].valid, reopened)):
        left.set_epoch(1, 1)
        right.set_epoch(1, 1)
        one, other = paired(left), paired(right)
        assert (one.src.ids == other.src.ids).all()
        for i in range(len(one)):
            assert other.tgt.row(i).tolist() == one.tgt.row(i).tolist()[::-1]
        assert other.references == one.references
        assert other.raw_references == one.raw_references


def test_sources_of_a_shared_vocabulary_run_from_left_to_right(tmp_path: Path) -> None:
    options = {"tgt_tokenizer": Tokenizer.char, "shared_vocabulary": True}
    data = build_data(pairs(write(tmp_path, "t.tsv", PAIRS), tgt_direction=TgtDirection.right_to_left, **options))
    src, tgt = data.codecs["src"], data.codecs["tgt"]
    assert src.vocab is tgt.vocab
    assert src.encode("ab") == tgt.encode("ab")[::-1]
    save_codecs(data, tmp_path)
    again = load_codecs(tmp_path).codecs
    assert again["src"].vocab is again["tgt"].vocab

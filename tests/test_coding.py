"""How texts become ids: one vocabulary for both sides, subwords that are drawn anew, targets from right to left."""

from pathlib import Path

import pytest
from small_files import PAIRS, SIDES, paired, pairs, train_sources, write

from zoo.config import TgtDirection, Tokenizer
from zoo.data import Loader, PairSizes, build_data, load_codecs, read_split, save_codecs
from zoo.data.learn import _some_texts
from zoo.data.splits import Rows
from zoo.errors import ConfigError, DataError


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


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"sides": ["x"], "shared": false, "labels": [], "max_output": 1}']
)
def test_damaged_vocabulary_files_are_named(tmp_path: Path, content: str) -> None:
    write(tmp_path, "coding.json", content)
    with pytest.raises(DataError, match=r"coding\.json: "):
        load_codecs(tmp_path)


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

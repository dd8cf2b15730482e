import json
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.config import TgtDirection
from zoo.data.tokenize import Codec, Numbering, build_tokenizer, normalize
from zoo.data.vocab import BOS, EOS, PAD, RESERVED, UNK
from zoo.errors import ConfigError, DataError

TEXTS = ["the cat sat on the mat", "a dog sat on a log", "  two  spaces and ▁ a mark ", "각 한국어", "naïve café"] * 4
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


def build(name: str, rows: list[str] = TEXTS, **options: int | bool) -> Codec:
    numbering = Numbering(build_tokenizer(name, rows, vocab_size=60))
    numbering.number(normalize(row, lowercase=bool(options.get("lowercase"))) for row in rows)
    return numbering.learn([], **options)  # type: ignore[arg-type]


CODECS = {name: build(name) for name in ("char", "jamo", "space", "word", "char_word", "bpe", "unigram")}
REVERSIBLE = ("char", "jamo", "char_word", "bpe", "unigram")


@pytest.mark.parametrize("name", REVERSIBLE)
@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_joining_the_tokens_gives_the_text_back_in_nfc(name: str, text: str) -> None:
    codec = CODECS[name]
    expected = unicodedata.normalize("NFC", text).replace("\ufdd0", "▁" if name in ("bpe", "unigram") else "\ufdd0")
    assert codec.canonical(text) == expected


@pytest.mark.parametrize("name", REVERSIBLE)
def test_a_training_text_survives_its_ids(name: str) -> None:
    for text in TEXTS:
        assert CODECS[name].decode(CODECS[name].encode(text)) == text


@pytest.mark.parametrize("name", ["space", "word"])
@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_words_are_joined_by_single_spaces(name: str, text: str) -> None:
    tokens = CODECS[name].split(text)
    assert all(tokens)
    assert CODECS[name].tokenizer.join(tokens).split() == " ".join(tokens).split()


@pytest.mark.parametrize("name", CODECS)
@given(rows=st.lists(texts, max_size=6))
@settings(max_examples=25, deadline=None)
def test_many_texts_get_the_ids_that_each_gets_alone(name: str, rows: list[str]) -> None:
    codec = CODECS[name]
    ids = codec.encode_many(rows)
    assert [ids.row(i).tolist() for i in range(len(ids))] == [codec.encode(text) for text in rows]


@pytest.mark.parametrize("name", CODECS)
def test_learning_gives_the_ids_that_encoding_gives(name: str) -> None:
    numbering = Numbering(CODECS[name].tokenizer)
    first, second = sides = [numbering.number(texts) for texts in (TEXTS[:3], TEXTS[3:])]
    again = numbering.learn(sides).encode_many(TEXTS)
    np.testing.assert_array_equal(np.concatenate([first.ids, second.ids]), again.ids)
    np.testing.assert_array_equal(np.concatenate([first.lengths, second.lengths]), again.lengths)


def test_jamo_takes_hangul_apart_into_letters() -> None:
    assert CODECS["jamo"].split("각") == ["\u1100", "\u1161", "\u11a8"]
    assert CODECS["jamo"].decode(CODECS["jamo"].encode("각")) == "각"


def test_word_is_the_basic_english_of_torchtext() -> None:
    assert CODECS["word"].split("It's GOOD, (very)!") == ["it", "'", "s", "good", ",", "(", "very", ")", "!"]


def test_char_word_has_the_characters_and_then_the_words() -> None:
    assert CODECS["char_word"].split("A b.") == ["A", " ", "b", ".", " a", " b", " ."]


@pytest.mark.parametrize("name", ["char", "jamo", "space", "char_word"])
def test_composed_and_decomposed_texts_are_one(name: str) -> None:
    assert CODECS[name].encode(unicodedata.normalize("NFD", "각 café")) == CODECS[name].encode("각 café")


def test_reserved_ids_and_unknown_tokens_leave_no_trace_in_the_text() -> None:
    codec = CODECS["char"]
    assert codec.encode("\u4e00") == [UNK]
    assert codec.decode([BOS, *codec.encode("cat"), UNK, EOS, PAD]) == "cat"


def test_lowercase_belongs_to_the_codec(tmp_path: Path) -> None:
    codec = build("char", ["ABC"], lowercase=True)
    codec.save(tmp_path, "text")
    loaded = Codec.load(tmp_path, "text")
    assert loaded.encode("aBc") == codec.encode("ABC") == codec.encode("abc")
    assert UNK not in codec.encode("ABC")


@pytest.mark.parametrize("name", CODECS)
def test_a_saved_codec_reads_back_equal(name: str, tmp_path: Path) -> None:
    CODECS[name].save(tmp_path, "src")
    loaded = Codec.load(tmp_path, "src")
    assert loaded.vocab.tokens == CODECS[name].vocab.tokens
    assert [loaded.encode(text) for text in TEXTS] == [CODECS[name].encode(text) for text in TEXTS]


@pytest.mark.parametrize(
    ("file", "content"),
    [("src.json", b"{}"), ("src.json", b'{"tokenizer": "wordd", "lowercase": false}'), ("src.model", b"no model")],
)
def test_a_damaged_codec_is_named(file: str, content: bytes, tmp_path: Path) -> None:
    CODECS["bpe"].save(tmp_path, "src")
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=file.replace(".", r"\.")):
        Codec.load(tmp_path, "src")


@pytest.mark.parametrize("name", ["bpe", "unigram"])
def test_subwords_are_learned_the_same_each_time_and_within_the_size(name: str) -> None:
    assert build(name).vocab.tokens == CODECS[name].vocab.tokens
    assert len(CODECS[name].vocab) <= RESERVED + 60


@pytest.mark.parametrize("name", ["bpe", "unigram"])
def test_sampled_subwords_follow_the_seed_and_spell_the_same_text(name: str) -> None:
    codec = CODECS[name]
    draw = {seed: codec.sample_many(TEXTS, strength=0.3, seed=seed) for seed in (1, 2)}
    again = codec.sample_many(TEXTS, strength=0.3, seed=1)
    np.testing.assert_array_equal(draw[1].ids, again.ids)
    assert draw[1].ids.tolist() != draw[2].ids.tolist()
    assert [codec.decode(draw[2].row(i)) for i in range(len(TEXTS))] == TEXTS


@pytest.mark.parametrize("name", ["bpe", "unigram"])
def test_a_size_below_the_number_of_characters_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"`dataset\.vocab_size` 3"):
        build_tokenizer(name, TEXTS, vocab_size=3)


def test_a_wrong_tokenizer_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown tokenizer 'chars'; did you mean 'char'"):
        build_tokenizer("chars", [])


def test_min_count_that_leaves_no_token_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`dataset\.min_count` \(9\)"):
        build("char", ["abc"], min_count=9)


def test_normalizing_twice_is_normalizing_once() -> None:
    assert normalize("e\u0301 A") == "é A"
    assert normalize(normalize("E\u0301", lowercase=True)) == "é"


def test_encoding_takes_at_least_300_000_tokens_a_second() -> None:
    rows, codec = ["pronunciation"] * 30_000, CODECS["char"]
    fastest = min(_seconds(codec, rows) for _ in range(3))
    assert 13 * len(rows) / fastest > 300_000


def _seconds(codec: Codec, rows: list[str]) -> float:
    start = time.perf_counter()
    codec.encode_many(rows)
    return time.perf_counter() - start


@pytest.mark.parametrize("name", CODECS)
def test_from_right_to_left_ids_are_turned_round_and_texts_and_tokens_are_not(name: str, tmp_path: Path) -> None:
    codec, turned = CODECS[name], CODECS[name].towards(TgtDirection.right_to_left)
    turned.save(tmp_path, "tgt")
    for other in (turned, Codec.load(tmp_path, "tgt")):
        rows, drawn = other.encode_many(TEXTS), other.sample_many(TEXTS, strength=0.3, seed=1)
        same = codec.sample_many(TEXTS, strength=0.3, seed=1)
        for i, text in enumerate(TEXTS):
            assert rows.row(i).tolist() == other.encode(text) == codec.encode(text)[::-1]
            assert drawn.row(i).tolist() == same.row(i).tolist()[::-1]
            assert other.decode(rows.row(i)) == codec.decode(codec.encode(text))
            assert other.tokens(rows.row(i)) == codec.tokens(codec.encode(text))
            assert other.split(text) == codec.split(text)
            assert other.canonical(text) == codec.canonical(text)


def test_codecs_that_were_saved_without_a_direction_run_from_left_to_right(tmp_path: Path) -> None:
    CODECS["char"].save(tmp_path, "tgt")
    path = tmp_path / "tgt.json"
    assert json.loads(path.read_text())["direction"] == "left_to_right"
    path.write_text('{"tokenizer": "char", "lowercase": false}')
    assert Codec.load(tmp_path, "tgt").direction == TgtDirection.left_to_right
    path.write_text('{"tokenizer": "char", "lowercase": false, "direction": "right_to_lefd"}')
    with pytest.raises(DataError, match=r"tgt\.json: unknown direction .* did you mean 'right_to_left'"):
        Codec.load(tmp_path, "tgt")

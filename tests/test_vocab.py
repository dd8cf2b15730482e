from pathlib import Path

import pytest

from zoo.data.vocab import BOS, EOS, PAD, RESERVED, UNK, Vocab
from zoo.errors import DataError


def test_reserved_ids_come_first_and_have_no_spelling() -> None:
    vocab = Vocab(["a", "b"])
    assert (PAD, UNK, BOS, EOS) == (0, 1, 2, 3)
    assert len(vocab) == RESERVED + 2
    assert [vocab.token(i) for i in range(6)] == ["", "", "", "", "a", "b"]
    assert vocab.encode(["b", "a", "c"]) == [5, 4, UNK]


@pytest.mark.parametrize("literal", ["<pad>", "<unk>", "<s>", "</s>", ""])
def test_a_literal_reserved_name_is_an_ordinary_token(literal: str) -> None:
    assert Vocab(["a"]).encode([literal]) == [UNK]
    assert Vocab([literal]).encode([literal]) == [RESERVED]


def test_order_is_by_count_then_text_whatever_the_order_of_counting() -> None:
    counts = {"c": 2, "a": 1, "b": 2, "d": 3}
    assert Vocab.build(counts).tokens == ["d", "b", "c", "a"]
    assert Vocab.build(dict(reversed(counts.items()))).tokens == ["d", "b", "c", "a"]
    assert Vocab.build(counts, min_count=2).tokens == ["d", "b", "c"]
    assert Vocab.build(counts, min_count=2, max_size=2).tokens == ["d", "b"]


def test_what_is_saved_is_loaded_equal(tmp_path: Path) -> None:
    tokens = ["\u2028", "\n", '"', "한", "a b", ""]
    Vocab(tokens).save(tmp_path / "v.json")
    assert Vocab.load(tmp_path / "v.json").tokens == tokens


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[1]", b'["a", "a"]', b"\xff", b"[" * 100_000, b"null"])
def test_a_malformed_vocabulary_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.json").write_bytes(content)
    with pytest.raises(DataError, match=r"v\.json: "):
        Vocab.load(tmp_path / "v.json")


def test_a_missing_vocabulary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.json: No such file"):
        Vocab.load(tmp_path / "gone.json")


def test_tokens_are_unique() -> None:
    with pytest.raises(ValueError, match="must not repeat"):
        Vocab(["a", "a"])

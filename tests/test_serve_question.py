"""What a request's body may hold, and what is said of one that it may not."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.serve.limits import Limits
from zoo.serve.question import Question, Refusal, Search, read_question

LIMITS = Limits(texts=3, characters=10)


def read(values: Any) -> Question:
    return read_question(json.dumps(values).encode(), LIMITS)


def refused(body: bytes) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        read_question(body, LIMITS)
    return caught.value.status, caught.value.message


def test_a_question_is_texts_and_how_to_answer_them() -> None:
    assert read({"texts": ["a", "b"]}) == Question(["a", "b"], Search(None, None, False))
    assert read({"texts": ["a"], "beam": 4, "nbest": 2, "attention": True}).search == Search(4, 2, True)
    assert read({"texts": ["a"], "beam": None, "nbest": None}).search == Search()
    assert read_question('\ufeff{"texts": ["한"]}'.encode(), LIMITS).texts == ["한"]


@pytest.mark.parametrize(("body", "said"), [
    (b"", "not JSON"),
    (b"{'texts': 1}", 'send a JSON object such as {"texts": ["zebra"]}'),
    (b'{"texts": ["a"', "not JSON"),
    (b'{"texts": ["\xff"]}', "not UTF-8 (byte 12); encode it as UTF-8"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"nbest": ' + b"9" * 5000 + b"}", "not JSON"),
], ids=["nothing", "quotes", "cut", "latin-1", "deep", "huge number"])  # fmt: skip
def test_a_body_that_is_no_json_is_refused_as_such(body: bytes, said: str) -> None:
    status, message = refused(body)
    assert status == 400
    assert said in message


@pytest.mark.parametrize(("values", "said"), [
    (["a"], "the body must be a JSON object such as {\"texts\": [\"zebra\"]}, but is a list"),
    ({}, "`texts` must be a list of texts, but is missing"),
    ({"texts": "a"}, "`texts` must be a list of texts, but is a text; write it as in {\"texts\": [\"zebra\"]}"),
    ({"texts": []}, "`texts` must hold 1 to 3 texts, but holds 0; name one"),
    ({"texts": list("abcd")}, "`texts` must hold 1 to 3 texts, but holds 4; send more requests with fewer each"),
    ({"texts": ["a", 1]}, "`texts[1]` must be a text in quotes, but is a number"),
    ({"texts": ["a", " \t"]}, "`texts[1]` is empty; leave it out"),
    ({"texts": ["a" * 11]}, "`texts[0]` has 11 characters, and 10 are the most; cut it"),
    ({"texts": ["\ud800"]}, "`texts[0]` holds half a character (\\ud800)"),
    ({"text": ["a"]}, "unknown key 'text'; did you mean 'texts'? (choices: texts, nbest, beam, attention)"),
    ({"texts": ["a"], "nbest": 0}, "`nbest` must be 1 to 20, but is 0"),
    ({"texts": ["a"], "nbest": 10**30}, "`nbest` must be 1 to 20, but is far out"),
    ({"texts": ["a"], "beam": 21}, "`beam` must be 1 to 20, but is 21"),
    ({"texts": ["a"], "beam": "3"}, "`beam` must be a whole number from 1 to 20, but is a text"),
    ({"texts": ["a"], "beam": True}, "`beam` must be a whole number from 1 to 20, but is true or false"),
    ({"texts": ["a"], "beam": 2.0}, "`beam` must be a whole number from 1 to 20, but is a number"),
    ({"texts": ["a"], "attention": 1}, "`attention` must be true or false, but is a number"),
], ids=str)  # fmt: skip
def test_a_wrong_value_is_named_with_the_way_to_mend_it(values: Any, said: str) -> None:
    status, message = refused(json.dumps(values).encode())
    assert status == 422
    assert message.startswith(said)


def test_attention_is_given_for_a_few_texts_alone() -> None:
    body = json.dumps({"texts": ["a"] * 9, "attention": True}).encode()
    with pytest.raises(Refusal, match="at most 8 texts of a request, but there are 9; send fewer"):
        read_question(body, Limits())


def test_the_largest_question_fits_into_the_largest_body() -> None:
    limits = Limits(texts=3, characters=20)
    body = json.dumps({"texts": ["\ud55c" * 20] * 3, "nbest": 20, "beam": 20}).encode()
    assert len(body) <= limits.body
    assert len(read_question(body, limits).texts) == 3


KEYS = st.text() | st.sampled_from(["texts", "beam", "nbest", "attention"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda part: st.lists(part) | st.dictionaries(KEYS, part),
    )
)
def test_any_json_is_read_or_refused(values: Any) -> None:
    with suppress(Refusal):
        assert 1 <= len(read(values).texts) <= LIMITS.texts

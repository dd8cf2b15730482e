"""What a request asks for, read from its body, and refusals that say how to mend it."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from zoo.errors import unknown
from zoo.serve.limits import ATTENTIONS, MOST_OUTPUTS, Limits

KEYS = ("texts", "nbest", "beam", "attention")
EXAMPLE = '{"texts": ["zebra"]}'


class Refusal(Exception):
    """A request that is not answered as it stands: its HTTP status, a line for its sender, and headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


class Search(NamedTuple):
    """How texts are to be answered; those of equal searches can share a batch. None: as the run has it."""

    beam: int | None = None
    nbest: int | None = None
    attention: bool = False


class Question(NamedTuple):
    """Texts, and how to answer them."""

    texts: list[str]
    search: Search


def read_question(body: bytes, limits: Limits) -> Question:
    """Return what a body asks for; Refusal where it is no such JSON (400) or asks for what it may not (422)."""
    values = _read_object(body)
    for key in values:
        if key not in KEYS:
            raise Refusal(422, unknown("key", str(key), KEYS))
    search = Search(_count(values, "beam"), _count(values, "nbest"), _flag(values, "attention"))
    texts = _texts(values.get("texts"), limits)
    if search.attention and len(texts) > ATTENTIONS:
        raise Refusal(422, f"`attention` is given for at most {ATTENTIONS} texts of a request, but there are "
                      f"{len(texts)}; send fewer, or leave it out")  # fmt: skip
    return Question(texts, search)


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the body is not UTF-8 (byte {error.start}); encode it as UTF-8") from error
    except RecursionError as error:
        raise Refusal(400, f"the body is nested too deeply; send a JSON object such as {EXAMPLE}") from error
    except ValueError as error:
        raise Refusal(400, f"the body is not JSON ({error}); send a JSON object such as {EXAMPLE}") from error
    if not isinstance(values, dict):
        raise Refusal(422, f"the body must be a JSON object such as {EXAMPLE}, but is {_kind(values)}")
    return values


def _texts(values: Any, limits: Limits) -> list[str]:
    if not isinstance(values, list):
        found = "is missing" if values is None else f"is {_kind(values)}"
        raise Refusal(422, f"`texts` must be a list of texts, but {found}; write it as in {EXAMPLE}")
    if not 1 <= len(values) <= limits.texts:
        raise Refusal(422, f"`texts` must hold 1 to {limits.texts} texts, but holds {len(values)}; "
                      f"{'send more requests with fewer each' if values else 'name one'}")  # fmt: skip
    for number, text in enumerate(values):
        _check_text(text, f"`texts[{number}]`", limits)
    return values


def _check_text(text: Any, name: str, limits: Limits) -> None:
    if not isinstance(text, str):
        raise Refusal(422, f"{name} must be a text in quotes, but is {_kind(text)}")
    if not text.strip():
        raise Refusal(422, f"{name} is empty; leave it out")
    if len(text) > limits.characters:
        raise Refusal(422, f"{name} has {len(text):,} characters, and {limits.characters:,} are the most; cut it")
    half = next((char for char in text if "\ud800" <= char <= "\udfff"), None)
    if half is not None:
        raise Refusal(422, f"{name} holds half a character (\\u{ord(half):04x}); write both halves, or UTF-8")


def _count(values: Mapping[str, Any], key: str) -> int | None:
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refusal(422, f"`{key}` must be a whole number from 1 to {MOST_OUTPUTS}, but is {_kind(value)}")
    if not 1 <= value <= MOST_OUTPUTS:
        raise Refusal(422, f"`{key}` must be 1 to {MOST_OUTPUTS}, but is {value if abs(value) < 1e9 else 'far out'}")
    return value


def _flag(values: Mapping[str, Any], key: str) -> bool:
    value = values.get(key, False)
    if not isinstance(value, bool):
        raise Refusal(422, f"`{key}` must be true or false, but is {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    """Say what a JSON value is."""
    kinds = {bool: "true or false", str: "a text", list: "a list", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "a number")

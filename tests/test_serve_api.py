"""The OpenAPI document says what is really taken and given, and its page shows all of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from commands import train_labels, train_pairs
from serving import serving

from zoo.experiment import load
from zoo.serve.api import describe, page_of
from zoo.serve.limits import Limits

TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": int | float, "boolean": bool}


@pytest.fixture(scope="module", params=["pairs", "labels"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Return a client of a server of each task."""
    folder = tmp_path_factory.mktemp("served")
    assert {"pairs": train_pairs, "labels": train_labels}[request.param](folder) == 0
    with serving(load(folder / request.param)) as client:
        yield client


def faults(value: Any, schema: dict[str, Any], document: dict[str, Any], at: str = "") -> list[str]:
    """Return where a value is not what a schema says; keys that it does not name are faults too."""
    if "$ref" in schema:
        return faults(value, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, at)
    kind = schema["type"]
    if not isinstance(value, TYPES[kind]) or (kind in ("integer", "number") and isinstance(value, bool)):
        return [f"{at} is no {kind}"]
    found = [] if value in schema.get("enum", [value]) else [f"{at} is none of {schema['enum']}"]
    if kind == "array":
        found += [
            one
            for number, item in enumerate(value)
            for one in faults(item, schema["items"], document, f"{at}[{number}]")
        ]
    if kind == "object":
        found += [f"{at}.{key} is missing" for key in schema.get("required", []) if key not in value]
        for key, item in value.items():
            part = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            found += faults(item, part, document, f"{at}.{key}") if part else [f"{at}.{key} is not described"]
    return found


def check(answer: httpx.Response, path: str, method: str, document: dict[str, Any]) -> None:
    """Assert that an answer is one of those that are described."""
    described = document["paths"][path][method]["responses"][str(answer.status_code)]
    schema = described["content"]["application/json"]["schema"]
    assert faults(answer.json(), schema, document) == []


def test_what_is_answered_is_what_is_described(client: httpx.Client) -> None:
    document = client.get("openapi.json").json()
    check(client.get("health"), "/health", "get", document)
    attends = client.get("health").json()["attention"]
    questions: list[dict[str, Any]] = [{"texts": ["ab", "a?b"]}, {"texts": ["ab"], "nbest": 2}]
    questions += [{"texts": ["ab"], "nbest": 2, "beam": 3, "attention": True}] if attends else []
    for question in questions:
        assert faults(question, {"$ref": "#/components/schemas/Question"}, document) == []
        answer = client.post("predict", json=question)
        assert answer.status_code == 200
        check(answer, "/predict", "post", document)
    for body in (b"[", b"{}"):
        check(
            client.post("predict", content=body, headers={"Content-Type": "application/json"}),
            "/predict",
            "post",
            document,
        )
    check(client.post("predict", content=b"{}"), "/predict", "post", document)


def test_the_example_of_the_document_is_answered(client: httpx.Client) -> None:
    operation = client.get("openapi.json").json()["paths"]["/predict"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    assert client.post("predict", json=example).status_code == 200


def test_every_reference_of_the_document_leads_somewhere(client: httpx.Client) -> None:
    document = client.get("openapi.json").json()
    assert document["openapi"] == "3.1.0"
    named = set(re.findall(r"#/components/schemas/(\w+)", client.get("openapi.json").text))
    assert named <= set(document["components"]["schemas"])


def test_the_limits_of_the_document_are_those_of_the_server() -> None:
    document = describe(Limits(texts=7, characters=99), [])
    texts = document["components"]["schemas"]["Question"]["properties"]["texts"]
    assert (texts["maxItems"], texts["items"]["maxLength"]) == (7, 99)


def test_the_page_shows_every_key_and_status(client: httpx.Client) -> None:
    document, page = client.get("openapi.json").json(), client.get("docs").text
    for name, schema in document["components"]["schemas"].items():
        assert f">{name}<" in page
        assert all(f"<code>{key}</code>" in page for key in schema["properties"])
    for status in document["paths"]["/predict"]["post"]["responses"]:
        assert f"<code>{status}</code>" in page


def test_the_page_is_text_whatever_the_document_holds() -> None:
    document = describe(Limits(), [])
    document["info"]["description"] = "<b>bold</b>"
    assert "&lt;b&gt;bold&lt;/b&gt;" in page_of(document, "http://localhost/")


def test_the_files_of_the_pages_are_in_the_package() -> None:
    import zoo.serve

    assert {path.name for path in (Path(zoo.serve.__file__).parent / "page").iterdir()} == {
        "index.html", "page.css", "page.js", "icon.svg"
    }  # fmt: skip

"""The API described: as an OpenAPI document, and as a page to read that loads nothing from anywhere."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

import zoo
from zoo.serve.limits import ATTENTIONS, MOST_OUTPUTS, Limits

Values = dict[str, Any]

REFUSALS = {
    "400": "the body is not JSON in UTF-8",
    "403": "a page of another site sent this",
    "408": "the body did not come in time",
    "413": "the body is too large",
    "415": "the body's Content-Type is not application/json",
    "421": "the request names a host that the server does not answer to (--allow-host)",
    "422": "a value is wrong, or a limit is passed",
    "500": "the model failed; the server's log says why",
    "503": "the queue is full, or memory ran out; Retry-After says when to try again",
    "504": "the time limit is passed",
}


def describe(limits: Limits, labels: Sequence[str]) -> Values:
    """Return the OpenAPI document of a server whose model finds these labels; none: it writes sequences."""
    prediction = "LabelPrediction" if labels else "SequencePrediction"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "zoo serve",
            "version": zoo.__version__,
            "description": "Predictions of a trained model. Errors are JSON objects with one line, `error`, that says "
            "what is wrong and how to mend it.",
        },
        "servers": [{"url": "."}],
        "paths": {"/predict": {"post": _predict(labels)}, "/health": {"get": _health()}},
        "components": {
            "schemas": {
                "Question": _question(limits, labels),
                "Answer": _answer(prediction),
                prediction: _label_prediction() if labels else _sequence_prediction(),
                "Health": _health_values(),
                "Error": _object({"error": _text("what is wrong, and how to mend it")}),
            }
        },
    }  # fmt: skip


def _predict(labels: Sequence[str]) -> Values:
    example: Values = {"texts": ["a warm and moving film"]} if labels else {"texts": ["zebra", "lead"], "nbest": 2}
    return {
        "operationId": "predict",
        "summary": "Answer texts, in their order; requests that come together share a batch",
        "requestBody": {"required": True, "content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/Question"}, "example": example}}},
        "responses": {"200": _response("the predictions, one for each text", "Answer"),
                      **{code: _response(what, "Error") for code, what in REFUSALS.items()}},
    }  # fmt: skip


def _health() -> Values:
    return {
        "operationId": "health",
        "summary": "Say that the server lives, what it serves and what it takes",
        "responses": {"200": _response("it lives", "Health")},
    }


def _question(limits: Limits, labels: Sequence[str]) -> Values:
    text = {"type": "string", "minLength": 1, "maxLength": limits.characters}
    texts = {"type": "array", "items": text, "minItems": 1, "maxItems": limits.texts, "description": "what to answer"}
    best = "labels, the likeliest; all if left out" if labels else "outputs for each text, the best; one if left out"
    properties: Values = {"texts": texts, "nbest": _count(f"how many {best}")}
    if not labels:
        properties["beam"] = _count("width of the search, 1 is greedy; the run's own if left out")
        what = f"give the attention of the best output too; for at most {ATTENTIONS} texts, and models with attention"
        properties["attention"] = {"type": "boolean", "default": False, "description": what}
    return {**_object(properties, required=["texts"]), "additionalProperties": False}


def _answer(prediction: str) -> Values:
    predictions = _list({"$ref": f"#/components/schemas/{prediction}"})
    return _object({
        "runs": _list(_text("a run that answers")),
        "predictions": {**predictions, "description": "one for each text, in their order"},
    })  # fmt: skip


def _sequence_prediction() -> Values:
    output = {
        "text": _text("the output"),
        "score": _number("its log-probability over its length to the power of the run's length penalty"),
        "probability": _number("its probability; of runs that vote, its share of the votes"),
    }
    weights = {**_list(_list(_number("how much an output token looks at a source token"))),
               "description": "a row for each token of `target`, a column for each of `source`"}  # fmt: skip
    tokens = {side: _list(_text(f"a token of the {side}; ⊙ is its end")) for side in ("source", "target")}
    more = {
        "nbest": {**_list(_object(output)), "description": "the best outputs, where `nbest` asks for them"},
        "attention": {**_object({**tokens, "weights": weights}), "description": "where it is asked for"},
        **_remarks(),
    }
    return _object({"input": _text("the text"), **output, **more}, required=["input", *output])


def _label_prediction() -> Values:
    found = {
        "input": _text("the text"),
        "label": _text("the likeliest label"),
        "probability": _number("its probability"),
        "probabilities": {"type": "object", "additionalProperties": _number(), "description": "of each label, the "
                          "likeliest first"},
    }  # fmt: skip
    return _object({**found, **_remarks()}, required=list(found))


def _remarks() -> Values:
    return {
        "unknown": _list(_text("a token that the model does not know; at most five are named")),
        "cut_to": {"type": "integer", "description": "the tokens that were read, where the text has more"},
    }


def _health_values() -> Values:
    whole = {"type": "integer"}
    limits = dict.fromkeys(["texts", "characters", "nbest", "beam", "attentions", "body", "waiting"], whole)
    return _object({
        "status": _text("ok"),
        "version": _text("of zoo"),
        "runs": _list(_text("a run that answers")),
        "task": {"type": "string", "enum": ["sequences", "labels"], "description": "what the model finds"},
        "attention": {"type": "boolean", "description": "whether it can be asked for"},
        "waiting": {**whole, "description": "texts that wait for the model"},
        "limits": {**_object({**limits, "seconds": _number()}), "description": "the most that is taken"},
    })  # fmt: skip


def _object(properties: Values, *, required: list[str] | None = None) -> Values:
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


def _list(items: Values) -> Values:
    return {"type": "array", "items": items}


def _text(description: str) -> Values:
    return {"type": "string", "description": description}


def _number(description: str = "") -> Values:
    return {"type": "number", "description": description} if description else {"type": "number"}


def _count(description: str) -> Values:
    return {"type": "integer", "minimum": 1, "maximum": MOST_OUTPUTS, "description": description}


def _response(description: str, schema: str) -> Values:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>zoo serve: the API</title>
<link rel="icon" href="icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="page.css">
</head>
<body>
<main>
<h1>The API</h1>
{body}
</main>
<footer><a href="./">Type a text</a> · <a href="openapi.json">openapi.json</a></footer>
</body>
</html>
"""


def page_of(document: Values, url: str) -> str:
    """Write the OpenAPI document of the server at `url` as HTML."""
    parts = [f"<p>{escape(document['info']['description'])}</p>"]
    for path, methods in document["paths"].items():
        parts += [_operation(url, path, method, operation) for method, operation in methods.items()]
    parts.append("<h2>Values</h2>")
    parts += [_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    return TEMPLATE.format(body="\n".join(parts))


def _operation(url: str, path: str, method: str, operation: Values) -> str:
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code></h2>", f"<p>{escape(operation['summary'])}.</p>"]
    if "requestBody" in operation:
        example = json.dumps(operation["requestBody"]["content"]["application/json"]["example"])
        call = f"curl -H 'Content-Type: application/json' -d '{example}' {url.rstrip('/')}{path}"
        parts.append(f"<pre tabindex='0'><code>{escape(call)}</code></pre>")
    answers = [(code, one["description"], _type(_content(one))) for code, one in operation["responses"].items()]
    return "\n".join([*parts, _table("Answers", ("status", "meaning", "body"), answers)])


def _content(response: Values) -> Values:
    schema: Values = response["content"]["application/json"]["schema"]
    return schema


def _schema(name: str, schema: Values) -> str:
    rows = [
        (key, _type(value), ("" if key in schema["required"] else "(optional) ") + _meaning(value))
        for key, value in schema["properties"].items()
    ]
    return f"<h3 id='{escape(name)}'>{escape(name)}</h3>\n{_table(f'Keys of {name}', ('key', 'type', 'meaning'), rows)}"


def _meaning(schema: Values) -> str:
    """Return what a schema says of a value, or of each where it is a list without a word of its own."""
    return str(schema.get("description") or schema.get("items", {}).get("description", ""))


def _type(schema: Values) -> str:
    """Write a type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if schema["type"] == "object":
        return "object with " + ", ".join(schema["properties"]) if "properties" in schema else "object"
    low, high = schema.get("minimum"), schema.get("maximum")
    return f"{schema['type']} {low} to {high}" if low is not None else str(schema["type"])


def _table(caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope='col'>{escape(title)}</th>" for title in titles)
    body = "\n".join(map(_row, rows))
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _row(cells: Sequence[str]) -> str:
    first, *rest = map(escape, cells)
    return f"<tr><th scope='row'><code>{first}</code></th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"

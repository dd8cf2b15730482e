"""The API over a real connection: answers, refusals, limits, and what other sites may not do."""

import http.client
import json
import math
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from commands import train_labels, train_pairs
from serving import PATIENCE, Echo, error_of, serving

from zoo.cli.runs import as_json
from zoo.data.vocab import BOS, EOS
from zoo.experiment import load
from zoo.serve.limits import Limits

SMALL = Limits(texts=4, characters=50, seconds=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a run of each task, and one of sequences without attention."""
    folder = tmp_path_factory.mktemp("served")
    assert train_pairs(folder) == 0
    assert train_labels(folder) == 0
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with serving(load(folder / "pairs"), limits=SMALL, names=("zoo.example",)) as client:
        yield client


@pytest.fixture(scope="module")
def labels(folder: Path) -> Iterator[httpx.Client]:
    with serving(load(folder / "labels"), limits=SMALL) as client:
        yield client


@pytest.fixture(scope="module")
def echo() -> Iterator[httpx.Client]:
    with serving(Echo(), limits=SMALL) as client:
        yield client


def ask(client: httpx.Client, **values: Any) -> Any:
    answer = client.post("predict", json=values)
    assert answer.status_code == 200, answer.text
    assert answer.json()["runs"] == ["toy"]
    return answer.json()["predictions"]


@pytest.mark.parametrize("search", [{}, {"nbest": 3}, {"beam": 2}, {"beam": 4, "nbest": 2}], ids=str)
def test_sequences_are_answered_as_zoo_predict_answers_them(
    client: httpx.Client, folder: Path, search: dict[str, int]
) -> None:
    texts = ["ab", "baba"]
    predictions = load(folder / "pairs").predict(texts, beam=search.get("beam"), nbest=search.get("nbest", 1))
    for found, text, prediction in zip(ask(client, texts=texts, **search), texts, predictions, strict=True):
        best = prediction if isinstance(prediction, list) else [prediction]
        expected = json.loads(as_json(text, prediction, search.get("nbest", 1)))
        assert {key: found[key] for key in ("input", "text")} == {key: expected[key] for key in ("input", "text")}
        assert found["score"] == pytest.approx(expected["score"], rel=1e-4)
        assert [one["text"] for one in found.get("nbest", [found])] == [one.text for one in best]


def test_labels_come_with_their_probabilities_the_likeliest_first(labels: httpx.Client, folder: Path) -> None:
    (found,) = ask(labels, texts=["ab ab"])
    (expected,) = load(folder / "labels").predict(["ab ab"])
    assert found["label"] == expected.label
    assert found["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
    values = list(found["probabilities"].values())
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1)
    assert list(ask(labels, texts=["ab ab"], nbest=1)[0]["probabilities"]) == [found["label"]]


@pytest.mark.parametrize(("width", "penalty"), [(1, 0.5), (4, 0.5), (4, 1.0)])
def test_a_probability_is_that_of_the_output_given_the_text(folder: Path, width: int, penalty: float) -> None:
    run = load(folder / "pairs")
    decoding = run.decoding(width, width)._replace(length_penalty=penalty)
    src = torch.tensor([[*run.coding.codecs["src"].encode("ab"), EOS]])
    for one in run.hypotheses(["ab"], decoding)[0]:
        ids = [*one.ids, EOS][: decoding.max_length]
        with torch.no_grad():
            logits = run.model(src, torch.tensor([3]), torch.tensor([[BOS, *ids[:-1]]]))
        expected = logits[0].log_softmax(-1)[torch.arange(len(ids)), ids].sum()
        assert decoding.log_probability(one) == pytest.approx(float(expected), rel=1e-4)


def test_the_probability_that_is_answered_is_not_divided_by_the_length(client: httpx.Client, folder: Path) -> None:
    run = load(folder / "pairs")
    decoding = run.decoding(3, 3)
    expected = [math.exp(decoding.log_probability(one)) for one in run.hypotheses(["ab"], decoding)[0]]
    assert [one["probability"] for one in ask(client, texts=["ab"], nbest=3)[0]["nbest"]] == pytest.approx(expected)


def test_attention_is_that_of_the_best_output(client: httpx.Client) -> None:
    (found,) = ask(client, texts=["abb"], beam=3, attention=True)
    attention = found["attention"]
    assert attention["source"] == ["a", "b", "b", "⊙"]
    assert [*found["text"].split(), "⊙"] == attention["target"]
    assert [len(row) for row in attention["weights"]] == [4] * len(attention["target"])
    assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in attention["weights"])


def test_what_the_model_did_not_read_is_told(client: httpx.Client, folder: Path) -> None:
    (found,) = ask(client, texts=["a!b?!"])
    assert found["unknown"] == ["!", "?"]
    assert "unknown" not in ask(client, texts=["ab"])[0]
    run = load(folder / "pairs")
    run.config.model.max_length = 3
    with serving(run) as cut:
        assert ask(cut, texts=["abab"])[0]["cut_to"] == 3
        assert run.warnings() == []  # the server would gather them without end


def test_several_runs_answer_together(folder: Path) -> None:
    runs = load(folder / "pairs", folder / "pairs")
    with serving(runs) as client:
        found = ask(client, texts=["ab"], nbest=2)[0]
        assert found["text"] == load(folder / "pairs").predict(["ab"], nbest=2)[0][0].text
        assert client.get("health").json()["attention"] is False
        refusal = client.post("predict", json={"texts": ["ab"], "attention": True})
        assert error_of(refusal, 422).startswith("`attention` cannot be given")


def test_texts_come_back_as_they_went(echo: httpx.Client) -> None:
    texts = ["<script>alert(1)</script>", '"\\ \u2028 \x00', "한국어 👍", " a "]
    answer = echo.post("predict", json={"texts": texts})
    assert [one["input"] for one in answer.json()["predictions"]] == texts
    assert answer.headers["content-type"] == "application/json"


def test_many_clients_at_once_each_hear_their_own_answer(echo: httpx.Client) -> None:
    def one(number: int) -> bool:
        found: bool = ask_echo(echo, [f"text {number}"]) == [f"TEXT {number}"]
        return found

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(200)))


def ask_echo(client: httpx.Client, texts: list[str]) -> list[str]:
    answer = client.post("predict", json={"texts": texts})
    return [one["text"] for one in answer.json()["predictions"]]


def test_health_says_what_is_served_and_what_it_takes(client: httpx.Client, labels: httpx.Client) -> None:
    health = client.get("health").json()
    assert (health["status"], health["runs"], health["task"], health["attention"]) == ("ok", ["toy"], "sequences", True)
    assert (health["limits"]["texts"], health["limits"]["characters"], health["limits"]["seconds"]) == (4, 50, 20)
    assert (labels.get("health").json()["task"], labels.get("health").json()["attention"]) == ("labels", False)


def test_what_does_not_fit_the_model_is_refused(client: httpx.Client, labels: httpx.Client) -> None:
    def refusal(of: httpx.Client, **values: Any) -> str:
        return error_of(of.post("predict", json={"texts": ["ab"], **values}), 422)

    assert refusal(client, beam=2, nbest=3) == "`nbest` must be at most the beam width (2), but is 3; raise beam"
    assert refusal(labels, beam=2) == "`beam` has no effect on a model that finds labels; leave it out"
    assert refusal(labels, attention=True) == "`attention` cannot be given, this model has none; leave it out"
    assert refusal(client, nbets=2).startswith("unknown key 'nbets'; did you mean 'nbest'?")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_a_body_of_another_type_is_refused(echo: httpx.Client, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = echo.post("predict", content=b'{"texts": ["a"]}', headers=headers)
    assert "send the header Content-Type: application/json" in error_of(answer, 415)


def test_a_type_with_a_charset_is_json_too(echo: httpx.Client) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert echo.post("predict", content=b'{"texts": ["a"]}', headers=headers).status_code == 200


def test_other_addresses_and_methods_are_told_what_there_is(echo: httpx.Client) -> None:
    assert error_of(echo.get("preditc"), 404) == (
        "GET /preditc: not found; there are GET /, /docs, /health and /openapi.json, and POST /predict"
    )
    answer = echo.get("predict")
    assert "POST /predict" in error_of(answer, 405)
    assert answer.headers["allow"] == "POST"
    for path in ("../limits.py", "page/../../limits.py", "%2e%2e/limits.py", "page.js/"):
        assert echo.get(path).status_code in (404, 307), path


def test_a_model_that_fails_is_not_the_end_of_the_server(echo: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    answer = echo.post("predict", json={"texts": ["fail"]})
    assert error_of(answer, 500) == "the model failed at this; the server's log says why"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "this text is too much" in caplog.text
    assert ask_echo(echo, ["a"]) == ["A"]


def test_memory_that_runs_out_is_told_as_such() -> None:
    model = Echo()
    model.answer = lambda texts, search: (_ for _ in ()).throw(MemoryError())  # type: ignore[method-assign]
    with serving(model) as client:
        answer = client.post("predict", json={"texts": ["a"]})
        assert error_of(answer, 503).startswith("memory ran out; send shorter texts")
        assert answer.headers["retry-after"] == "1"


def raw(client: httpx.Client, head: str, body: bytes = b"") -> tuple[int, str]:
    """Send bytes as they are; return the status and the body of the answer."""
    url = client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read().decode()


HEAD = "POST /predict HTTP/1.1\nHost: localhost\nContent-Type: application/json"


def test_a_body_that_is_too_large_is_refused(echo: httpx.Client) -> None:
    answer = echo.post("predict", content=b" " * (SMALL.body + 1), headers={"Content-Type": "application/json"})
    assert error_of(answer, 413) == f"the body is larger than {SMALL.body:,} bytes; send fewer or shorter texts"
    whole = json.dumps({"texts": ["a"]}).encode().ljust(SMALL.body)
    assert echo.post("predict", content=whole, headers={"Content-Type": "application/json"}).status_code == 200


def test_a_body_without_a_told_length_is_counted_as_it_comes(echo: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        yield from [b" " * 10_000] * (SMALL.body // 10_000 + 1)

    answer = echo.post("predict", content=parts(), headers={"Content-Type": "application/json"})
    assert "larger than" in error_of(answer, 413)


def test_a_body_that_is_told_to_be_huge_is_not_waited_for(echo: httpx.Client) -> None:
    for head in (f"{HEAD}\nContent-Length: 99999999999", f"{HEAD}\nContent-Length: 100000\nExpect: 100-continue"):
        status, text = raw(echo, head)
        assert status == 413
        assert "larger than" in json.loads(text)["error"]


def test_a_body_that_does_not_come_is_given_up() -> None:
    with serving(Echo(), limits=Limits(seconds=0.2)) as client:
        status, text = raw(client, f"{HEAD}\nContent-Length: 20", b'{"texts"')
    assert status == 408
    assert json.loads(text)["error"] == "the body did not come within 0.2 seconds; send it faster"


def test_what_takes_too_long_is_given_up_and_the_next_is_answered() -> None:
    model = Echo(0.5)
    with serving(model, limits=Limits(seconds=0.2)) as client:
        answer = client.post("predict", json={"texts": ["a"]})
        assert "took longer than 0.2 seconds" in error_of(answer, 504)
        model.seconds = 0
        time.sleep(0.4)
        assert ask_echo(client, ["b"]) == ["B"]


def test_a_full_queue_is_told_with_the_time_to_come_again() -> None:
    model = Echo(0.3)
    with serving(model, limits=Limits(texts=2, waiting=2)) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: client.post("predict", json={"texts": [text]}), "abcdefgh"))
        full = [answer for answer in answers if answer.status_code == 503]
        assert full
        assert all("too many texts wait" in error_of(answer, 503) for answer in full)
        assert all(answer.headers["retry-after"] == "1" for answer in full)
        assert all(answer.status_code == 200 for answer in answers if answer not in full)


def test_more_requests_than_are_held_are_turned_away() -> None:
    with serving(Echo(0.3), limits=Limits(requests=2)) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: client.post("predict", json={"texts": [text]}), "abcdefgh"))
        assert {answer.status_code for answer in answers} == {200, 503}
        assert client.get("health").status_code == 200


def test_a_client_that_goes_away_is_worked_for_no_longer() -> None:
    model = Echo(0.5)
    with serving(model, limits=Limits(window=0)) as client:
        first = threading.Thread(target=client.post, args=("predict",), kwargs={"json": {"texts": ["a"]}})
        first.start()
        time.sleep(0.1)
        with pytest.raises(httpx.ReadTimeout):
            client.post("predict", json={"texts": ["left"]}, timeout=httpx.Timeout(PATIENCE, read=0.1))
        first.join()
        assert ask_echo(client, ["b"]) == ["B"]
    assert [texts for texts, _ in model.batches] == [["a"], ["b"]]


OURS = ["localhost", "LOCALHOST:1234", "localhost.", "127.0.0.1:8000", "[::1]:8000", "192.168.1.5", "zoo.example"]
THEIRS = ["evil.example", "localhost.evil.example", "evil.example:8000", "localhost@evil.example", "[::1", "",
          "127.0.0.1.evil.example", "a/localhost"]  # fmt: skip


@pytest.mark.parametrize("host", OURS)
def test_names_of_the_server_and_addresses_are_answered_to(client: httpx.Client, host: str) -> None:
    assert client.get("health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", THEIRS)
def test_another_name_is_refused_whatever_it_points_to(client: httpx.Client, host: str) -> None:
    for path in ("/", "/health", "/predict", "/nothing"):
        refusal = error_of(client.get(path, headers={"Host": host}), 421)
        assert refusal.startswith("this server answers to localhost, zoo.example and addresses, not to ")
        assert refusal.endswith("start it with --allow-host NAME")


@pytest.mark.parametrize(("headers", "status"), [
    ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
    ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, 403),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "http://localhost:3000"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://["}, 403),
    ({"Origin": "http://zoo.example"}, 200),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy.example"}, 200),
    ({}, 200),
], ids=str)  # fmt: skip
def test_posts_from_pages_of_other_sites_are_refused(
    client: httpx.Client, headers: dict[str, str], status: int
) -> None:
    answer = client.post("predict", json={"texts": ["ab"]}, headers={"Host": "zoo.example", **headers})
    assert answer.status_code == status, answer.text


def test_no_other_site_is_allowed_to_read_or_to_ask_first(client: httpx.Client) -> None:
    asked = client.options(
        "predict", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert asked.status_code == 403
    for answer in (asked, client.get("health", headers={"Origin": "https://evil.example"})):
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/docs", "/page.js", "/page.css", "/icon.svg", "/health", "/nothing"])
def test_every_answer_is_guarded_against_what_browsers_would_make_of_it(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize(
    "head", ["GET / HTTP/1.0", "GET /\nHost: localhost", "\x00", "GET / HTTP/1.1\nHost: a\nHost: b"]
)
def test_bytes_that_are_no_request_are_refused(echo: httpx.Client, head: str) -> None:
    assert raw(echo, head)[0] in (400, 421)
    assert ask_echo(echo, ["a"]) == ["A"]


def test_the_pages_name_nothing_outside_of_the_server(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/page.js", "/page.css", "/icon.svg"):
        text = client.get(path).text.replace("http://www.w3.org/2000/svg", "").replace("http://localhost:8000", "")
        assert "http:" not in text
        assert "//" not in text.replace("// ", "")
        for word in ("style=", "onclick", "onload", "innerHTML", "@import", "eval("):
            assert word not in text, (path, word)

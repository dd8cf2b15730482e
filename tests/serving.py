"""A server in a thread of this process, and a model that does what a test needs."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from zoo.serve.app import build_app
from zoo.serve.limits import Limits
from zoo.serve.port import listening, url_of
from zoo.serve.question import Search
from zoo.serve.server import build_server

PATIENCE = 60
URL = "http://localhost:8000/"


class Echo:
    """Answers each text with itself after `seconds`, and notes the batches; "fail" fails, all that is with it too."""

    names = ("echo",)
    labels = ()
    attends = False

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[tuple[list[str], Search]] = []
        self.threads: set[str] = set()

    def check(self, search: Search) -> None:
        """Take any search."""

    def prepare(self) -> None:
        """Need no preparation."""

    def batch_size(self, search: Search) -> int:
        return 8

    def answer(self, texts: list[str], search: Search) -> list[dict[str, Any]]:
        self.batches.append((texts, search))
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        if "fail" in texts:
            raise ArithmeticError("this text is too much")
        return [
            {"input": text, **output, "nbest": [output]} for text, output in ((one, _shouted(one)) for one in texts)
        ]


def _shouted(text: str) -> dict[str, Any]:
    return {"text": text.upper(), "score": 0.0, "probability": 1.0}


def server_of(model: Any, *, limits: Limits, names: Sequence[str], runs: Sequence[str]) -> uvicorn.Server:
    """Return a server of a run, or of a model that is made for a test."""
    if isinstance(model, Echo):
        app = build_app(model, limits, names=list(names), url=URL)  # type: ignore[arg-type]
        return uvicorn.Server(uvicorn.Config(app, ws="none", lifespan="on", log_config=None))
    return build_server(model, runs=list(runs), names=list(names), limits=limits, url=URL)


@contextmanager
def serving(
    model: Any, *, limits: Limits | None = None, names: Sequence[str] = (), runs: Sequence[str] = ("toy",)
) -> Iterator[httpx.Client]:
    """Serve a model until the end of the block; yield a client of it."""
    server = server_of(model, limits=limits or Limits(), names=names, runs=runs)
    with listening("127.0.0.1", 0) as sockets:
        thread = threading.Thread(target=server.run, args=(sockets,))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.005)
            with httpx.Client(base_url=url_of("127.0.0.1", sockets), timeout=PATIENCE, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
    assert not thread.is_alive()


def error_of(answer: httpx.Response, status: int) -> str:
    """Return the one line of a refusal of this status."""
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert "\n" not in answer.json()["error"]
    return str(answer.json()["error"])

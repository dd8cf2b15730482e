"""The pages and the API as an ASGI application."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import zoo
from zoo.errors import is_out_of_memory
from zoo.serve.api import describe, page_of
from zoo.serve.batching import Batcher
from zoo.serve.guard import Guard
from zoo.serve.limits import ATTENTIONS, MOST_OUTPUTS, Limits
from zoo.serve.predictor import Predictor
from zoo.serve.question import Refusal, read_question

T = TypeVar("T")
PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
DRAINED = 16
"""Bodies up to so many times too large are read to their end, so that the sender hears the answer."""


def build_app(predictor: Predictor, limits: Limits, *, names: list[str], url: str) -> ASGIApp:
    """Return what answers to requests at `url`; `names` are those of the server beside localhost."""
    service, document = Service(predictor, limits), describe(limits, predictor.labels)
    routes = [
        Route("/predict", service.predict, methods=["POST"]),
        Route("/health", service.health),
        Route("/openapi.json", fixed(json.dumps(document), "application/json")),
        Route("/docs", fixed(page_of(document, url), "text/html")),
        *(Route(path, fixed((PAGE / name).read_text(encoding="utf-8"), kind)) for path, (name, kind) in FILES.items()),
    ]
    handlers: Any = {HTTPException: wrong_address, Refusal: refuse, Exception: fail}
    app = Starlette(routes=routes, lifespan=service.lifespan, exception_handlers=handlers)
    return Guard(app, names=names, requests=limits.requests)


class Service:
    """The two answers that are computed."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.batcher = Batcher(predictor, limits)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Answer from the server's start to its end."""
        async with self.batcher.running():
            yield

    async def health(self, request: Request) -> Response:
        """Say that the server lives, what it serves and what it takes."""
        predictor, limits = self.predictor, self.limits
        return as_json({
            "status": "ok",
            "version": zoo.__version__,
            "runs": predictor.names,
            "task": "labels" if predictor.labels else "sequences",
            "attention": predictor.attends,
            "waiting": self.batcher.waiting,
            "limits": {
                "texts": limits.texts, "characters": limits.characters, "nbest": MOST_OUTPUTS, "beam": MOST_OUTPUTS,
                "attentions": ATTENTIONS, "body": limits.body, "waiting": limits.waiting, "seconds": limits.seconds,
            },
        })  # fmt: skip

    async def predict(self, request: Request) -> Response:
        """Answer the texts of a request."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, f"the body must be JSON, but is {kind or 'of no type'!a}; "
                          "send the header Content-Type: application/json")  # fmt: skip
        question = None
        try:
            async with asyncio.timeout(self.limits.seconds) as deadline:
                body = await read_body(request, self.limits.body)
                question = read_question(body, self.limits)
                self.predictor.check(question.search)
                answers = await unless_gone(request, self.batcher.ask(question))
        except TimeoutError:
            if not deadline.expired():
                raise
            if question is None:
                raise Refusal(408, f"the body did not come within {self.limits.seconds:g} seconds; send it faster",
                              {"Connection": "close"}) from None  # fmt: skip
            raise Refusal(504, f"this took longer than {self.limits.seconds:g} seconds; send fewer or shorter texts, "
                          "or a narrower beam", {"Retry-After": "1"}) from None  # fmt: skip
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        return as_json({"runs": self.predictor.names, "predictions": answers})


async def read_body(request: Request, most: int) -> bytes:
    """Return the body; Refusal (413) where it is larger than `most` bytes, which are never held at once."""
    told = request.headers.get("content-length", "0")
    size = int(told) if told.isascii() and told.isdigit() else 0
    too_large = Refusal(413, f"the body is larger than {most:,} bytes; send fewer or shorter texts")
    if size > most and (size > DRAINED * most or "expect" in request.headers):
        raise Refusal(413, too_large.message, {"Connection": "close"})
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length <= most:
            parts.append(part)
        if length > DRAINED * most:
            raise Refusal(413, too_large.message, {"Connection": "close"})
    if length > most:
        raise too_large
    return b"".join(parts)


async def unless_gone(request: Request, answering: Coroutine[Any, Any, T]) -> T:
    """Wait for an answer; ClientDisconnect as soon as nobody waits for it any more."""
    answer, gone = asyncio.ensure_future(answering), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return answer.result()
    finally:
        answer.cancel()
        gone.cancel()


def fixed(text: str, kind: str) -> Any:
    """Return an endpoint that gives the same text each time."""

    async def endpoint(request: Request) -> Response:
        return Response(text, media_type=kind, headers={"Cache-Control": "no-cache"})

    return endpoint


def as_json(values: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Write values as JSON; half characters, which a stranger's vocabulary may hold, become question marks."""
    body = json.dumps(values, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return Response(body, status, headers, "application/json")


async def refuse(request: Request, error: Any) -> Response:
    """Answer a request that is not answered as it stands."""
    return as_json({"error": error.message}, error.status, error.headers)


async def wrong_address(request: Request, error: Any) -> Response:
    """Say what there is where a path or a method is not known."""
    there = "GET /, /docs, /health and /openapi.json, and POST /predict"
    message = f"{request.method} {request.url.path}: {error.detail.lower()}; there are {there}"
    return as_json({"error": message}, error.status_code, error.headers)


async def fail(request: Request, error: Exception) -> Response:
    """Answer where the model failed; Starlette hands the exception on, so that the log has its traceback."""
    if is_out_of_memory(error):
        logging.getLogger(__name__).warning("memory ran out for a request")
        return as_json({"error": "memory ran out; send shorter texts, or a narrower beam"}, 503, {"Retry-After": "1"})
    return as_json({"error": "the model failed at this; the server's log says why"}, 500)

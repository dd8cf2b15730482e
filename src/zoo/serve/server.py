"""The server itself: a thread for the event loop, and an end that loses nothing."""

import logging
import math
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

import uvicorn

from zoo.experiment import Committee, Run
from zoo.experiment.signals import Interruption
from zoo.serve.app import build_app
from zoo.serve.limits import Limits
from zoo.serve.predictor import Predictor


def build_server(
    model: Run | Committee, *, runs: list[str], names: list[str], limits: Limits, url: str
) -> uvicorn.Server:
    """Return a server at `url` that answers with a model of these runs; `names` are its own beside localhost."""
    return uvicorn.Server(uvicorn.Config(
        build_app(Predictor(model, runs), limits, names=names, url=url),
        loop="asyncio", http="h11", ws="none", lifespan="on", log_config=None, access_log=False, server_header=False,
        proxy_headers=False, limit_concurrency=limits.connections,
        timeout_graceful_shutdown=math.ceil(limits.seconds) + 1,
    ))  # fmt: skip


def serve(server: uvicorn.Server, sockets: list[socket.socket], *, ready: Callable[[], None]) -> None:
    """Answer on `sockets` until a signal comes, then answer the requests that have begun, and end by the signal.

    `ready` is called once requests are answered. A second signal ends the process at once.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    interruption, ended = Interruption(wait=True), Event()
    with interruption.watching():
        Thread(target=_run, args=(server, sockets, ended), name="server", daemon=True).start()
        told = False
        while not (ended.wait(0.1 if told else 0.01) or interruption.noted):
            if server.started and not told:
                ready()
                told = True
        server.should_exit = True
        with suppress(KeyboardInterrupt, SystemExit):  # the second signal; who watches ends the process, where it waits
            ended.wait()
        ended.wait()
    raise RuntimeError("the server ended by itself")


def _run(server: uvicorn.Server, sockets: list[socket.socket], ended: Event) -> None:
    # A join that a signal interrupts takes the thread for ended, whether it is or not (bpo-45274).
    try:
        server.run(sockets)
    finally:
        ended.set()

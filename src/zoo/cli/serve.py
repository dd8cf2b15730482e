"""`zoo serve RUN ...`: answer over HTTP, to programs and on a page to type into."""

import argparse
import math
import socket
from importlib.util import find_spec
from typing import Any

from zoo.cli import runs as opening
from zoo.cli.runs import RUN, Parser
from zoo.cli.streams import complain, say
from zoo.errors import ConfigError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
MOST_SECONDS = 3600


def serve(arguments: list[str]) -> int:
    """Answer requests until a signal comes."""
    options = _options(arguments)
    if not all(map(find_spec, ("starlette", "uvicorn"))):
        raise ConfigError("`zoo serve` needs Starlette and uvicorn: pip install 'zoo[serve]'")
    from zoo.serve.port import listening, url_of

    with listening(options.host, options.port) as sockets:  # before the model, which takes seconds to open
        model = opening.open_runs(options)
        _answer(model, options, sockets, url_of(options.host, sockets))
    return 0


def _answer(model: Any, options: argparse.Namespace, sockets: list[socket.socket], url: str) -> None:
    from zoo.serve.limits import Limits
    from zoo.serve.server import build_server, serve

    if options.host not in LOOPBACK:
        complain(f"warning: {options.host} can be open to other machines, without password and encryption; "
                 "docs/serving.md says how to put a proxy before it")  # fmt: skip
    limits = Limits(texts=options.max_texts, characters=options.max_length, waiting=options.max_waiting,
                    seconds=options.timeout, window=options.window / 1000)  # fmt: skip
    server = build_server(model, runs=options.runs, names=[options.host, *options.allow_host],
                          limits=limits, url=url)  # fmt: skip
    told = f"serving {' '.join(options.runs)} at {url} (API: {url}docs; end: Ctrl-C)"
    serve(server, sockets, ready=lambda: say(told))


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="zoo serve",
        description="Answer over HTTP: POST /predict for programs, a page at / to type into, /docs to read. Several "
        "runs answer together, as in zoo predict.",
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help=RUN)
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free; default: 8000")
    parser.add_argument("--host", default="localhost", help="where to listen; default: localhost, this machine alone")
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="answer to this name too, "
                        "such as that of a proxy; may be given again")  # fmt: skip
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    parser.add_argument("--max-texts", type=int, default=64, metavar="N", help="texts of a request; default: 64")
    parser.add_argument("--max-length", type=int, default=5000, metavar="N", help="characters of a text; default: 5000")
    parser.add_argument("--max-waiting", type=int, default=1000, metavar="N", help="texts that wait; default: 1000")
    parser.add_argument("--timeout", type=float, default=30, metavar="S", help="seconds of a request; default: 30")
    parser.add_argument("--window", type=float, default=5, metavar="MS", help="milliseconds that a text waits for "
                        "others to share a batch; default: 5")  # fmt: skip
    options = parser.parse_args(arguments)
    _check(options)
    return options


def _check(options: argparse.Namespace) -> None:
    """Raise ConfigError where an option is out of range."""
    ranges = {"port": (0, 65535), "max_texts": (1, 10_000), "max_length": (1, 1_000_000), "max_waiting": (1, 1_000_000),
              "window": (0, 1000)}  # fmt: skip
    for name, (least, most) in ranges.items():
        value = getattr(options, name)
        if not least <= value <= most:
            raise ConfigError(f"`--{name.replace('_', '-')}` must be {least} to {most}, but is {value:g}")
    if not (math.isfinite(options.timeout) and 0 < options.timeout <= MOST_SECONDS):
        raise ConfigError(f"`--timeout` must be above 0 and at most {MOST_SECONDS} seconds, but is {options.timeout:g}")
    if options.max_waiting < options.max_texts:
        raise ConfigError(f"`--max-waiting` must be at least `--max-texts` ({options.max_texts}), "
                          f"but is {options.max_waiting}")  # fmt: skip
    if not options.host:
        raise ConfigError("`--host` is empty; leave it out for localhost")

"""`zoo serve` as a process: ports, options, signals while requests run, and a client that asks at a fixed rate."""

import http.client
import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import load_test
import pytest
from commands import command, environment, inside, one_error, train_pairs, zoo

from zoo.cli import runs

PATIENCE = 120
STUCK = """
import sys, time
from zoo.cli import main
from zoo.serve.predictor import Predictor

Predictor.prepare = lambda self: None
Predictor.answer = lambda self, texts, search: time.sleep(600)
sys.argv = ["zoo", "serve", "pairs", "--port", "0"]
sys.exit(main())
"""
"""A server whose model never answers."""


class Server:
    """A server in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        self.told = process.stdout.readline()
        found = re.search(r"http://\S+/", self.told)
        assert found, (self.told, process.communicate())
        self.url = found[0]
        self.place = ("127.0.0.1", int(self.url.rstrip("/").rpartition(":")[2]))

    def health(self) -> Any:
        with closing(http.client.HTTPConnection(*self.place, timeout=PATIENCE)) as connection:
            connection.request("GET", "/health")
            return json.load(connection.getresponse())

    def ended(self) -> tuple[int, str]:
        """Return the exit code and what was said on stderr."""
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err


@contextmanager
def started(words: list[str], cwd: Path) -> Iterator[Server]:
    """Start a command that serves; it has ended after the block."""
    process = subprocess.Popen(words, cwd=cwd, env=environment(), text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)  # fmt: skip
    try:
        yield Server(process)
    finally:
        process.kill()
        process.communicate()


def served(*words: str, cwd: Path) -> AbstractContextManager[Server]:
    """Start `zoo serve` on a free port."""
    return started(command("serve", *words, "--port", "0"), cwd)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    assert train_pairs(folder) == 0
    return folder


def ask_without_reading(server: Server) -> http.client.HTTPConnection:
    """Send a request whole, and leave its answer to be read."""
    connection = http.client.HTTPConnection(*server.place, timeout=PATIENCE)
    connection.request("POST", "/predict", b'{"texts": ["ab"]}', {"Content-Type": "application/json"})
    return connection


def status_of(asked: http.client.HTTPConnection) -> int:
    """Read an answer to its end."""
    with closing(asked), asked.getresponse() as answer:
        assert b'"predictions"' in answer.read()
        return answer.status


def wait_for(server: Server, waiting: int) -> None:
    """Wait until so many texts wait for the model."""
    deadline = time.monotonic() + PATIENCE
    while server.health()["waiting"] != waiting:
        assert time.monotonic() < deadline


@pytest.mark.slow
@pytest.mark.usefixtures("hangups")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_server_when_the_requests_that_had_begun_are_answered(
    folder: Path, number: int, code: int
) -> None:
    with served("pairs", "--window", "1000", cwd=folder) as server:
        assert server.told == f"serving pairs at {server.url} (API: {server.url}docs; end: Ctrl-C)\n"
        asked = [ask_without_reading(server) for _ in range(5)]
        wait_for(server, 5)
        server.process.send_signal(number)
        assert [status_of(one) for one in asked] == [200] * 5
        ended, err = server.ended()
        assert ended == code
        assert err == ("interrupted\n" if number == signal.SIGINT else "")
        with pytest.raises(ConnectionRefusedError):
            server.health()


@pytest.mark.slow
def test_a_second_signal_ends_the_server_at_once(folder: Path) -> None:
    with started([sys.executable, "-c", STUCK], cwd=folder) as server:
        asked = ask_without_reading(server)
        server.health()  # which is answered after that request was read
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.ended()[0] == 143
        assert time.monotonic() - begun < 20
        with pytest.raises((OSError, http.client.HTTPException)):
            status_of(asked)


@pytest.mark.slow
def test_a_model_that_is_installed_answers_at_a_fixed_rate_and_nothing_is_lost(tmp_path: Path) -> None:
    # How long answers take is measured by scripts/load_test.py, since the machine that tests run on may be busy.
    with served("g2p-en", cwd=tmp_path) as server:
        assert server.health()["runs"] == ["g2p-en"]
        texts = load_test.words(200)
        report = load_test.load(server.url, texts, rate=20, seconds=5)
        assert report.statuses == {200: 100}
        assert report.lost == 0
        server.process.send_signal(signal.SIGTERM)
        assert server.ended()[0] == 143


def test_the_load_that_a_client_makes_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    report = load_test.Report({200: 98, 503: 1}, 1, [number / 1000 for number in range(1, 100)], 2.0)
    assert report.quantile(0.5) == 0.05
    assert report.quantile(0.99) == report.quantile(1) == 0.099
    assert report.lines() == [
        "sent     100 in 2.0 s (50.0/s)",
        "answers  98 x 200, 1 x 503; lost 1",
        "latency  median 50 ms, 90 % 90 ms, 99 % 99 ms, 99.9 % 99 ms, longest 99 ms",
    ]


@pytest.mark.parametrize("words", [["--url", "http://example.org/"], ["--rate", "5000"], ["--seconds", "0"]])
def test_the_load_is_bounded_and_for_this_machine_alone(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["load_test.py", *words])
    with pytest.raises(SystemExit):
        load_test.main()


def test_a_port_that_is_taken_is_told_before_the_model_is_opened(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert inside("serve", "nothing", "--host", "127.0.0.1", "--port", str(port)) == 8
    assert one_error(capsys.readouterr().err) == (
        f"port {port} of 127.0.0.1 is in use by another process; name another: --port 0 takes a free one"
    )


@pytest.mark.parametrize(("words", "code", "said"), [
    ([], 2, "the following arguments are required: RUN; see zoo serve --help"),
    (["nothing", "--port", "0"], 4, "nothing: no such run; unknown installed model 'nothing' (choices: "),
    (["last", "--port", "65536"], 2, "`--port` must be 0 to 65535, but is 65536"),
    (["last", "--port", "http"], 2, "argument --port: invalid int value: 'http'; see zoo serve --help"),
    (["last", "--host", "no.such.name.invalid"], 2, "--host no.such.name.invalid: not a name or address that is known"),
    (["last", "--host", "192.0.2.1", "--port", "0"], 2, "--host 192.0.2.1: not an address of this machine"),
    (["last", "--host", ""], 2, "`--host` is empty; leave it out for localhost"),
    (["last", "--max-texts", "0"], 2, "`--max-texts` must be 1 to 10000, but is 0"),
    (["last", "--max-waiting", "8"], 2, "`--max-waiting` must be at least `--max-texts` (64), but is 8"),
    (["last", "--timeout", "nan"], 2, "`--timeout` must be above 0 and at most 3600 seconds, but is nan"),
    (["last", "--window", "-1"], 2, "`--window` must be 0 to 1000, but is -1"),
    (["last", "--bean", "3"], 2, "unrecognized arguments: --bean 3; see zoo serve --help"),
], ids=str)  # fmt: skip
def test_wrong_words_are_one_line(words: list[str], code: int, said: str, here: Path,
                                  capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert inside("serve", *words) == code
    assert one_error(capsys.readouterr().err).startswith(said)


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra_one_line_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("zoo.cli.serve.find_spec", lambda name: None if name == missing else found(name))
    assert inside("serve", "last") == 2
    assert one_error(capsys.readouterr().err) == "`zoo serve` needs Starlette and uvicorn: pip install 'zoo[serve]'"


def test_an_open_host_is_warned_of(here: Path, monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setattr(runs, "open_runs", lambda options: None)
    monkeypatch.setattr("zoo.serve.server.build_server", lambda model, **options: options)
    monkeypatch.setattr("zoo.serve.server.serve", lambda server, sockets, ready: ready())
    assert inside("serve", "last", "--port", "0", "--host", "0.0.0.0", "--allow-host", "zoo.example") == 0
    out, err = capsys.readouterr()
    assert err.startswith("warning: 0.0.0.0 can be open to other machines, without password and encryption")
    assert out.startswith("serving last at http://0.0.0.0:")


def test_the_verb_is_listed_and_explained(here: Path) -> None:
    assert "zoo serve " in zoo("--help", cwd=here).stdout
    told = zoo("serve", "--help", cwd=here)
    assert told.returncode == 0
    assert "--allow-host NAME" in told.stdout

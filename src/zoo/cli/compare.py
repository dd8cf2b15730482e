"""`zoo compare RUN ...`: runs side by side, and whether the difference of two is real."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from zoo.cli import runs as opening
from zoo.cli.evaluate import last_part, outcomes_of, scored, scoring_options, scoring_parser
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
    from zoo.compare import has_best, rows_of, write_comparison
    from zoo.experiment.directory import expanded

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
    where = scored(options, part)
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
    lines = _table(rows)
    if "differences" in found:
        first, second = (row["run"] for row in rows)
        lines += ["", f"{second} against {first}, {found['sources']:,} sources"]
        lines += columns([_difference(*item) for item in found["differences"].items()])
        lines += [f"{key}  {value}" for key, value in found.items() if key.endswith("_signature")]
    lines += [f"drawn  {', '.join(found['files'])}"] if "files" in found else []
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Write runs side by side, below a line that says what is the same of all."""
    shared = [key for key in ("model", "dataset", "metric", "part") if len({row[key] for row in rows}) == 1]
    above = [f"{key} {rows[0][key]}" for key in shared if rows[0][key]]
    parents = {os.path.dirname(row["run"]) for row in rows}
    told = [{**row, "parameters": _thousands(row["parameters"])} for row in rows]
    if len(parents) == 1 and len(rows) > 1 and (parent := parents.pop()):
        above.append(f"runs in {parent}")
        told = [{**row, "run": os.path.basename(row["run"])} for row in told]
    if all(row["run"] == row.get("options", "").replace(" ", ",") for row in told):
        shared.append("run")  # a job of a sweep is named by its options
    heads = {
        "valid": "best valid",
        "epoch": "best epoch",
        "value": (rows[0]["part"] or "value") if "part" in shared else "value",
    }
    keys = [key for key in rows[0] if key not in shared]
    cells = [[cell(row, key) for key in keys] for row in told]
    return [*([", ".join(above)] if above else []), *columns([[heads.get(key, key) for key in keys], *cells])]


def _thousands(count: int | None) -> str | None:
    return None if count is None else f"{count:,}"


def _difference(name: str, found: dict[str, Any]) -> list[str]:
    bounds = f"[{found['low']:+.4f}, {found['high']:+.4f}]"
    return [name, f"{found['value']:+.4f} {bounds}", f"p {found['p']:.3f}", found["verdict"]]

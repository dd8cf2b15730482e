"""`zoo evaluate RUN ...`: figures, how sure they are, and where models err."""

import argparse
import json
from pathlib import Path
from typing import Any

from zoo.cli import runs as opening
from zoo.cli.runs import RUN, Parser, positive
from zoo.cli.tables import details_text, side_by_side, table
from zoo.config import PreparedConfig
from zoo.errors import ConfigError

MOST_RESAMPLES = 1_000_000


def evaluate(arguments: list[str]) -> int:
    """Print the figures of a run, or of several and of all together."""
    parser = scoring_parser(
        "evaluate",
        "Score a run; repeats the figures of results.json on the same device and precision, each with the interval "
        "that holds 95 % of its bootstrap resamples. Several runs are scored each by itself, then "
        "together as an ensemble.",
    )
    parser.add_argument(
        "--details", action="store_true", help="add figures by length and by label, and the ten worst errors"
    )
    options = scoring_options(parser, arguments)
    model = opening.open_runs(options)
    part = options.split or last_part(model.config.dataset)
    asked = {"files": options.data, "beam": options.beam}
    singles = outcomes_of(options.runs, model, part, asked)
    outcome = model.outcome(part, **asked) if len(options.runs) > 1 else singles[0]
    figures = [_with_intervals(one, options.bootstrap) for one in singles]
    found = figures[0]
    if len(options.runs) > 1:
        found = _together(options.runs, figures, _with_intervals(outcome, options.bootstrap))
    lines = [f"{scored(options, part)}, {len(outcome.sources):,} sources"]
    lines.append(side_by_side(found) if len(options.runs) > 1 else table(found))
    if options.details:
        from zoo.breakdown import details

        found["details"] = details(outcome)
        lines.append(details_text(found["details"]))
    print(json.dumps(found, ensure_ascii=False) if options.json else "\n".join(lines))
    return 0


def scoring_parser(verb: str, description: str) -> Parser:
    """Return the parser of a verb that scores runs."""
    parser = Parser(prog=f"zoo {verb}", description=description, allow_abbrev=False)
    parser.add_argument("runs", nargs="+", metavar="RUN", help=f"{RUN}; a sweep's directory stands for its runs")
    parser.add_argument("--beam", type=int, metavar="N", help="beam width; 1: greedy; default: the run's own")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    parser.add_argument(
        "--split", choices=["valid", "test"], help="default: test, or valid where there is no test part"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="FILE",
        help="score these files instead: one, or source and target; columns as in "
        "the run's own (dataset.columns), else source and target, or text and label",
    )
    parser.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="resamples for intervals; 0: none; default: 1000"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def scoring_options(parser: Parser, arguments: list[str]) -> argparse.Namespace:
    """Return the options of a verb that scores runs; ConfigError where they are out of range."""
    options = parser.parse_args(arguments)
    positive(options.beam, "--beam")
    if not 0 <= options.bootstrap <= MOST_RESAMPLES:
        raise ConfigError(f"`--bootstrap` must be at least 0 and at most {MOST_RESAMPLES}, but is {options.bootstrap}")
    if options.data and len(options.data) > 2:
        raise ConfigError(f"`--data` takes one file or two aligned ones, but got {len(options.data)}")
    return options


def scored(options: argparse.Namespace, part: str) -> str:
    """Name what is scored: the files of `--data`, or a part."""
    return " ".join(options.data) if options.data else part


def last_part(dataset: Any) -> str:
    """Return test, or valid for the user's own files without a test file, prepared or not."""
    if isinstance(dataset, PreparedConfig):
        return "test" if (Path(dataset.path) / "test.jsonl").is_file() else "valid"
    return "test" if getattr(dataset, "test", True) else "valid"


def outcomes_of(names: list[str], model: Any, part: str, asked: dict[str, Any]) -> list[Any]:
    """Return the outcome of each run by itself; DataError where they are not of the same sources."""
    from zoo.compare import check_same_part

    outcomes = [run.outcome(part, **asked) for run in getattr(model, "runs", [model])]
    check_same_part(names, outcomes)
    return outcomes


def _with_intervals(outcome: Any, repeats: int) -> dict[str, Any]:
    from zoo.bootstrap import intervals

    metrics: dict[str, Any] = outcome.metrics()
    if repeats:
        metrics["intervals"] = {name: one._asdict() for name, one in intervals(outcome.scores, repeats=repeats).items()}
    return metrics


def _together(names: list[str], singles: list[dict[str, Any]], ensemble: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of each run, their mean and standard deviation over the runs, and those of the ensemble.

    There is a mean where all runs have the figure, measured in the same way.
    """
    import statistics

    def alike(key: str) -> bool:
        return all(key in one and one.get(f"{key}_signature") == singles[0].get(f"{key}_signature") for one in singles)

    values = {key: [one[key] for one in singles]
              for key, value in singles[0].items() if isinstance(value, float) and alike(key)}  # fmt: skip
    return {
        "runs": [{"run": name, **figures} for name, figures in zip(names, singles, strict=True)],
        "mean": {key: statistics.mean(found) for key, found in values.items()},
        "spread": {key: statistics.stdev(found) for key, found in values.items()},
        "ensemble": ensemble,
    }

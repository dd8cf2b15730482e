"""`zoo benchmark`: how fast one's own model trains and decodes here."""

import json
from typing import Any

from zoo.cli import overrides as checking
from zoo.cli.runs import Parser, positive
from zoo.config import TrainConfig
from zoo.errors import ConfigError

DESCRIPTION = """\
Measure a model on this machine: how fast it trains and, if it is a run's, decodes. WORDS are overrides as zoo-train
takes them (zoo benchmark model=transformer model.d_model=256), or a run's directory, or `last`."""


def benchmark(arguments: list[str]) -> int:
    """Print what a config or a run reaches on this machine."""
    parser = Parser(prog="zoo benchmark", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("words", nargs="*", metavar="WORDS", help="RUN, or KEY=VALUE ...")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="measurements of each figure; default: 5")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps of a measurement; default: 20, or "
                        "fewer where these take more than five seconds")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_intermixed_args(arguments)
    positive(options.repeats, "--repeats")
    positive(options.steps, "--steps")
    config, run = chosen(options.words)
    from zoo.benchmark import measure

    figures = measure(config, run=run, repeats=options.repeats, steps=options.steps)
    print(json.dumps(figures, ensure_ascii=False) if options.json else table(figures))
    return 0


def chosen(words: list[str]) -> tuple[TrainConfig, str]:
    """Return the config that the words describe, and the run that it is of, empty where it is of none."""
    run = next((word for word in words if "=" not in word), "")
    if run and len(words) > 1:
        raise ConfigError(f"a run has its own options; leave out {' '.join(word for word in words if word != run)}")
    if run:
        return checking.resumed(run, {}), run
    return checking.config_of({item.key: item.texts[0] for item in map(checking.parse, words)}), ""


def table(figures: dict[str, Any]) -> str:
    """Write figures a line each; of several measurements the median, the least and the greatest."""
    width = max(map(len, figures))
    return "\n".join(f"{name:{width}}  {shown(value)}" for name, value in figures.items())


def shown(value: Any) -> str:
    """Write a figure with three digits that count."""
    if isinstance(value, list):
        return f"{shown(value[0])} ({shown(value[1])} to {shown(value[2])})"
    if isinstance(value, float | int):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return str(value)

"""`zoo average RUN`: one model from the last checkpoints of a run."""

from zoo.cli.runs import Parser
from zoo.errors import ConfigError


def average(arguments: list[str]) -> int:
    """Average a run's last checkpoints into a new run directory, and say which."""
    parser = Parser(
        prog="zoo average",
        description="Average the weights of a run's newest checkpoints into a new run directory, to evaluate and to "
        "predict with. A run keeps its two newest checkpoints at most, more with keep=N.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="a run's directory, or `last`, the newest under runs/")
    parser.add_argument("--last", type=int, metavar="K", help="how many checkpoints; default: all that are kept")
    parser.add_argument("--out", metavar="DIR", help="the new directory; default: RUN-averageK beside the run")
    options = parser.parse_args(arguments)
    if options.last is not None and options.last < 2:
        raise ConfigError(f"`--last` must be at least 2, but is {options.last}")
    if options.out == "":
        raise ConfigError("`--out` is empty; name a directory, or leave it out")
    from zoo.average import average

    made = average(options.run, last=options.last or 0, out=options.out)
    steps = ", ".join(map(str, reversed(made.steps)))
    print(f"averaged {len(made.steps)} checkpoints of {made.source} (steps {steps})")
    print(f"run    {made.run_dir}")
    return 0

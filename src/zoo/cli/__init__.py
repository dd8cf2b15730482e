"""The command line: thin verbs over the rooms above; the only module that prints results."""

import sys
from collections.abc import Callable

import zoo
from zoo.cli.exits import guarded
from zoo.distributed import launched
from zoo.errors import ConfigError, unknown


def main() -> int:
    """Run `zoo VERB ...`."""
    return guarded(lambda: run(sys.argv[1:]))


def train_main() -> int:
    """Run `zoo-train ...`."""
    return guarded(lambda: _train(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a verb; return its exit code."""
    verb, *rest = arguments or ["--help"]
    if verb in ("--help", "-h", "help"):
        print(_usage())
        return 0
    if verb == "--version":
        print(f"zoo {zoo.__version__}")
        return 0
    if verb not in VERBS:
        raise ConfigError(unknown("verb", verb, VERBS))
    if verb != "train" and launched():
        raise ConfigError(f"zoo {verb} runs in one process; leave out torchrun")
    return VERBS[verb][1](rest)


def _usage() -> str:
    lines = [f"  zoo {verb:10} {summary}" for verb, (summary, _) in VERBS.items()]
    return "\n".join(
        [
            "A zoo of sequence models, trained from the shell.",
            "",
            *lines,
            "",
            "zoo VERB --help says more; zoo --version.",
        ]
    )


# Each verb imports its module when it is called, so that none waits for another's imports.


def _train(arguments: list[str]) -> int:
    from zoo.cli.train import train

    return train(arguments)


def _prepare(arguments: list[str]) -> int:
    from zoo.cli.prepare import prepare

    return prepare(arguments)


def _evaluate(arguments: list[str]) -> int:
    from zoo.cli.evaluate import evaluate

    return evaluate(arguments)


def _predict(arguments: list[str]) -> int:
    from zoo.cli.runs import predict

    return predict(arguments)


def _average(arguments: list[str]) -> int:
    from zoo.cli.average import average

    return average(arguments)


def _compare(arguments: list[str]) -> int:
    from zoo.cli.compare import compare

    return compare(arguments)


def _diagnose(arguments: list[str]) -> int:
    from zoo.cli.diagnose import diagnose

    return diagnose(arguments)


def _explore(arguments: list[str]) -> int:
    from zoo.cli.explore import explore

    return explore(arguments)


def _serve(arguments: list[str]) -> int:
    from zoo.cli.serve import serve

    return serve(arguments)


def _benchmark(arguments: list[str]) -> int:
    from zoo.cli.bench import benchmark

    return benchmark(arguments)


def _tune(arguments: list[str]) -> int:
    from zoo.cli.tune import tune

    return tune(arguments)


def _export(arguments: list[str]) -> int:
    from zoo.cli.export import export

    return export(arguments)


def _models(arguments: list[str]) -> int:
    if arguments == ["--pretrained"]:
        from zoo.cli.help import pretrained

        print(pretrained())
        return 0
    return _listing("model", arguments)


def _datasets(arguments: list[str]) -> int:
    return _listing("dataset", arguments)


def _listing(group: str, arguments: list[str]) -> int:
    from zoo.cli.help import listing

    if {"--help", "-h"}.intersection(arguments) or len(arguments) > 1:
        print(f'zoo {group}s ["PATTERN"]    list what there is, a line each; use one with zoo-train {group}=NAME')
        if group == "model":
            print(
                "zoo models --pretrained    list the trained models that are installed; use one with zoo predict NAME"
            )
        return 0
    print(listing(group, *arguments))
    return 0


VERBS: dict[str, tuple[str, Callable[[list[str]], int]]] = {
    "train": ("train a model (the same as zoo-train)", _train),
    "prepare": ("tokenize data of any size once, to train on without holding them in memory", _prepare),
    "evaluate": ("score a run, or several together, on the validation or test part or on files", _evaluate),
    "predict": ("apply a run, or several together, to lines of text", _predict),
    "average": ("make one model of a run's last checkpoints", _average),
    "compare": ("show runs side by side, and whether the difference of two is real", _compare),
    "diagnose": ("say what is wrong with a run, by its curves, and what to try", _diagnose),
    "explore": ("reduce, cluster and draw what a run, a table or a dataset holds", _explore),
    "tune": ("search for good settings, trial by trial", _tune),
    "benchmark": ("measure how fast a model trains and decodes on this machine", _benchmark),
    "export": ("write a model for torch.export, ONNX or CTranslate2, proved to be equal", _export),
    "serve": ("answer over HTTP, to programs and on a page to type into", _serve),
    "models": ("list the models", _models),
    "datasets": ("list the datasets", _datasets),
}

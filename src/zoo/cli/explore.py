"""`zoo explore SOURCE`: fewer dimensions, clusters, and what they are worth."""

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import Any

from zoo.cli import overrides as checking
from zoo.cli.runs import Parser
from zoo.cli.tables import columns, shortened
from zoo.config import DATASETS, TrainConfig
from zoo.config.datasets import LABELLED
from zoo.errors import CheckpointError, ConfigError, DataError, unknown
from zoo.explore.options import CLUSTER, DISTANCE, EXTRACTION, LINKAGE, SCALE, SELECTION, Plan, plan_of
from zoo.pretrained import list_pretrained

DESCRIPTION = """\
Reduce the dimensions of points, cluster what comes out, and write a report: figures, report.json, an HTML page that
stands alone, and TensorBoard's event file with the points for the Projector. SOURCE is a run's directory or `last`
(its encoder's states), a .csv or .npy table of numbers, a shipped model, or a dataset (as TF-IDF), which takes
overrides: zoo explore movie_reviews dataset.source=imdb. Without --reduce and --cluster: pca and kmeans."""
SPLITS = ("train", "valid", "test")
TABLES = (".csv", ".npy")


def explore(arguments: list[str]) -> int:
    """Explore a source and say where the report lies."""
    options = _parser().parse_intermixed_args(arguments)
    name, *words = options.words
    kind = kind_of(name)
    plan = _plan(options)
    _check(options, kind, words)
    config = _config(name, words, options.seed) if kind == "dataset" else None
    from zoo.explore.exploring import explore as explored
    from zoo.explore.exploring import steps
    from zoo.explore.pictures import pictures_of
    from zoo.explore.saving import prepared, save
    from zoo.record import progress

    source = _open(options, kind, config, words)
    directory = Path(os.path.expanduser(options.out)) if options.out else source.home
    bar = progress(desc="exploring", total=steps(source, plan) + 1, unit="step")
    with prepared(directory, source), bar:

        def step(text: str) -> None:
            bar.set_description_str(text)
            bar.update()

        found = explored(source, plan, step=step)
        step("drawing")
        report = save(directory, found, pictures_of(found))
    print(json.dumps(report, ensure_ascii=False) if options.json else summary(report, directory))
    return 0


def _parser() -> Parser:
    parser = Parser(prog="zoo explore", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("words", nargs="+", metavar="SOURCE", help="a run, `last`, a .csv or .npy table, a shipped "
                        "model, or a dataset and KEY=VALUE overrides of it")  # fmt: skip
    what = parser.add_argument_group("what is explored")
    what.add_argument("--label", metavar="COLUMN", help="column of labels, never a feature; of a .npy table a file of "
                      "them; default: `label` where there is one")  # fmt: skip
    what.add_argument("--targets", metavar="A,B", help="columns of numbers to explain, in place of labels")
    what.add_argument("--split", metavar="PART", help="part of a run's data or of a dataset: train, valid or test; "
                      "default: valid of a run, train of a dataset")  # fmt: skip
    what.add_argument("--data", nargs="+", metavar="FILE", help="let a run read these files instead")
    what.add_argument("--tokens", action="store_true", help="a run's vectors of tokens in place of states of texts")
    what.add_argument("--side", metavar="SIDE", help="whose tokens of a run on pairs: src (default) or tgt")
    what.add_argument("--limit", type=int, metavar="N", help="points; about N are drawn at random where there are "
                      "more; 0: all; default: 10000")  # fmt: skip
    how = parser.add_argument_group("what is done")
    how.add_argument("--reduce", metavar="R", help=f"extract: {', '.join(EXTRACTION)}; select: {', '.join(SELECTION)}")
    how.add_argument("--components", type=int, metavar="N", help="components or features to keep; default: chosen by "
                     "cross-validation, without labels by explained variance")  # fmt: skip
    how.add_argument("--cluster", metavar="C", help=", ".join(CLUSTER))
    how.add_argument(
        "--clusters", metavar="K", help="number of clusters; of kmeans also silhouette (default), elbow or gap"
    )
    how.add_argument("--distance", metavar="D", help=f"{', '.join(DISTANCE)}; default: euclidean")
    how.add_argument("--linkage", metavar="L", help=f"of hierarchical: {', '.join(LINKAGE)}; default: ward, or average")
    how.add_argument("--eps", type=float, metavar="E", help="of dbscan: radius; default: knee of the k-distance curve")
    how.add_argument("--min-samples", type=int, metavar="N", help="of dbscan: neighbors of a core point; default: 5")
    how.add_argument("--scale", metavar="S", help=f"{', '.join(SCALE)}; default: what suits the source and the method")
    how.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--out", metavar="DIR", help="where the report goes; default: explore/ in a run's directory, "
                        "else explore/NAME")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    return parser


def kind_of(name: str) -> str:
    """Return whether a name means a table, a run or a dataset: a path first, then a shipped model, then a dataset."""
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path) or (name == "last" and not os.path.exists(path)):
        return "run"
    if os.path.exists(path):
        return "run" if path.name == "config.yaml" or path.suffix == ".safetensors" else "table"
    if name in list_pretrained():
        return "run"
    if name in DATASETS:
        return "dataset"
    if path.suffix.lower() in TABLES:
        raise DataError(f"{name}: no such file")
    if os.sep in name:
        raise CheckpointError(f"{name}: no such run or table; name a run's directory, or a .csv or .npy file")
    raise ConfigError(unknown("source", name, ["last", *list_pretrained(), *DATASETS]))


def _plan(options: argparse.Namespace) -> Plan:
    names = "reduce cluster scale components seed clusters distance linkage eps min_samples"
    return plan_of(**{name: getattr(options, name) for name in names.split()})


def _check(options: argparse.Namespace, kind: str, words: list[str]) -> None:
    """Refuse options that have no effect on a kind of source."""
    heeded = {
        "targets": ("table",), "split": ("run", "dataset"), "data": ("run",), "tokens": ("run",), "side": ("run",),
    }  # fmt: skip
    for name, kinds in heeded.items():
        if getattr(options, name) and kind not in kinds:
            raise ConfigError(
                f"`--{name}` is of a {' or '.join(kinds)}, but {options.words[0]} is a {kind}; leave it out"
            )
    for first, second in (("data", "split"), ("tokens", "split"), ("tokens", "data"), ("label", "targets")):
        if getattr(options, first) and getattr(options, second):
            raise ConfigError(f"`--{second}` has no effect beside `--{first}`; leave out one of the two")
    if options.side and not options.tokens:
        raise ConfigError("`--side` has no effect without `--tokens`; add it, or leave it out")
    if options.tokens and options.label:
        raise ConfigError("`--label` has no effect on tokens, which have no labels; leave it out")
    if options.split is not None and options.split not in SPLITS:
        raise ConfigError(unknown("split", options.split, SPLITS))
    if options.data and len(options.data) > 2:
        raise ConfigError(f"`--data` takes one file or two aligned ones, but got {len(options.data)}")
    for name in ("out", "label", "targets"):
        if getattr(options, name) == "":
            raise ConfigError(f"`--{name}` is empty; give it a value, or leave it out")
    if options.limit is not None and options.limit < 0:
        raise ConfigError(f"`--limit` must be at least 0, but is {options.limit}")
    if words and kind != "dataset":
        raise ConfigError(
            f"one source at a time, but got {options.words[0]} and {words[0]}; overrides are of a dataset"
        )


def _config(name: str, words: list[str], seed: int) -> TrainConfig:
    """Return a config with the dataset that is meant."""
    typed = {item.key: item.texts[0] for item in map(checking.parse, words)}
    for key in typed:
        if not key.startswith("dataset."):
            raise ConfigError(f"`{key}` has no effect on a dataset that is explored; options of it begin with dataset.")
    labelled = name in LABELLED or (
        name in ("torchtext", "hub") and typed.get("dataset.task", "labelled") == "labelled"
    )
    model = "linear" if labelled else "transformer"
    return checking.config_of({"dataset": name, "model": model, "seed": str(seed), **typed})


def _open(options: argparse.Namespace, kind: str, config: TrainConfig | None, words: list[str]) -> Any:
    from zoo.explore import sources

    name, limit = options.words[0], sources.LIMIT if options.limit is None else options.limit
    targets = [target.strip() for target in options.targets.split(",")] if options.targets else []
    some = {"limit": limit, "seed": options.seed}
    if kind == "table":
        return sources.table_source(name, label=options.label, targets=targets, **some)
    if config is not None:
        source = sources.dataset_source(config, words=words, split=options.split or "train", **some)
    elif options.tokens:
        return sources.token_source(name, side=options.side or "", limit=limit)
    else:
        source = sources.run_source(name, split=options.split or "valid", data=options.data or (), **some)
    sources.check_labels(source, options.label)
    return source


def summary(report: dict[str, Any], directory: Path) -> str:
    """Say in a few lines what was found and where it lies."""
    told = [f"{report['points']:,} points of {_counted(report['features'], 'feature')}"]
    if "labels" in report:
        told.append(_counted(len(report["labels"]), "label"))
    lines = [["source", f"{report['source']}: {report['what']}"], ["points", ", ".join(told)]]
    lines += [[name, _reduced(report, prefix)] for name, prefix in _reductions(report)]
    if "vip" in report:
        best = sorted(report["vip"].items(), key=lambda pair: -pair[1])[:5]
        lines.append(["vip", ", ".join(f"{feature} {value:.2f}" for feature, value in best)])
    if "selected" in report:
        lines.append(["selected", shortened(", ".join(report["selected"]))])
    if "cluster" in report:
        lines += _clusters(report)
    lines += [["note", note] for note in report["notes"]]
    lines.append(["report", str(directory / "report.html")])
    lines.append(["look", f"tensorboard --logdir {shlex.quote(str(directory))} --host localhost"])
    return "\n".join(columns(lines))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _reductions(report: dict[str, Any]) -> list[tuple[str, str]]:
    own = [(report["reduce"], "")] if "reduce" in report else []
    return [*own, *((name, f"{name}_") for name in ("pca", "pls") if f"{name}_components" in report)]


def _reduced(report: dict[str, Any], prefix: str) -> str:
    count, rule = report[f"{prefix}components"], report[f"{prefix}components_rule"]
    what = "feature" if f"{prefix}selected" in report else "component"
    parts = [f"{_counted(count, what)} ({rule})", f"explains {report[f'{prefix}explained_x_total']:.1%} of x"]
    if f"{prefix}explained_y_total" in report:
        parts.append(f"{report[f'{prefix}explained_y_total']:.1%} of y")
    if probe := report.get(f"{prefix}probe_accuracy", {}).get(str(count)):
        parts.append(f"probe {probe:.1%} (baseline {report['probe_baseline']:.1%})")
    return ", ".join(parts)


def _clusters(report: dict[str, Any]) -> list[list[str]]:
    from zoo.explore.validity import INSIDE, OUTSIDE

    sizes = list(report["sizes"].items())
    told = ", ".join(f"{size:,} noise" if name == "noise" else f"{size:,}" for name, size in sizes[:10])
    more = ", ..." if len(sizes) > 10 else ""
    rule, counts = report["clusters_rule"], report.get("clusters_by_rule", {})
    others = [f"{other} {count}" for other, count in counts.items() if other != rule]
    why = f"{rule}; {', '.join(others)}" if others else rule
    what = f"{_counted(report['clusters'], 'cluster')} ({why}): {told}{more} points"
    lines = [[report["cluster"], what]]
    for title, names in (("inside", INSIDE), ("outside", OUTSIDE)):
        figures = [f"{name} {_figure(report[name])}" for name in names if name in report]
        lines += [[title, ", ".join(figures)]] if figures else []
    return lines


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"

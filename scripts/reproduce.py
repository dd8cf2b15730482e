"""Make the published results again: train what a recipe names, score it and its ensemble, and write the rows.

    python scripts/reproduce.py --list
    python scripts/reproduce.py sigmorphon2020/kor --data DIR     # one language; `sigmorphon2020`: all fifteen
    python scripts/reproduce.py imdb                              # the data came with pip
    python scripts/reproduce.py all --data DIR                    # about a day on two cores
    python scripts/reproduce.py all --data DIR --baselines        # what needs no training
    python scripts/reproduce.py multi30k --data DIR --members "transformer 3"   # one model of several, in its own time
    python scripts/reproduce.py trec6 --data DIR --seeds 1 --results /tmp/try max_steps=20   # to see that it runs
    python scripts/reproduce.py --tables                          # README and docs/results.md from results/*.csv

Runs are kept under `runs/reproduce` (`--out`): finished ones are not trained again, interrupted ones go on. Training
never sees a test file; where one lies in DIR, the finished runs are scored on it, also when it came later. Rows go to
`results/NAME.csv` (`--results`), in the place of those with the same key, and those of models that the recipe no
longer has go. With `--members` the other models, the ensemble and the baselines keep their rows. Options of `zoo-train`
may follow the name, to try something; then, and with `--seeds`, `--results` has to name another directory.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import baselines
import training_jobs
from hardware import commit
from recipes import RECIPES, Files, Recipe, each_model, find_files, select, tasks_of, write_models
from results_table import update_pages
from rows import ENSEMBLE, Row, add_rows, drop_others, read_rows, rounded
from training_jobs import Job

import zoo
from zoo.bootstrap import intervals
from zoo.cli.exits import guarded
from zoo.cli.overrides import parse
from zoo.cli.runs import Parser
from zoo.cli.streams import complain, say
from zoo.cli.tables import columns
from zoo.data.build import read_parts
from zoo.data.splits import Rows
from zoo.errors import ConfigError
from zoo.metrics import Scores

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
PLACES = ("--data", "--out", "--results")
SPLITS = {"dev": "valid", "test": "test"}
"""What a part is called in results, and by the zoo."""


class Trained(NamedTuple):
    """What is said of a model beside its scores; of an ensemble the sums."""

    parameters: int = 0
    seconds: float = 0.0
    hardware: str = ""
    config: str = ""
    commit: str = ""
    members: str = ""


class Report:
    """Where the rows of one recipe go: into its file at once, and to the command line at the end."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.path = recipe, folder / f"{recipe.name}.csv"
        self.rows: list[Row] = []
        read_rows(self.path)  # a damaged file is refused before hours of training

    def add(self, model: str, seed: str, scores: dict[str, Scores], told: Trained) -> None:
        """Enter a model's scores on each part."""
        rows = [row for split, one in scores.items() for row in self._rows(model, seed, split, one, told)]
        add_rows(self.path, rows, tasks=tasks_of(self.recipe.name))
        self.rows += rows

    def drop_others(self) -> None:
        """Take away the rows that an earlier recipe has left, so that the file holds those of this one."""
        models = {(row.model, row.seed) for row in self.rows}
        drop_others(self.path, self.recipe.task, models, tasks=tasks_of(self.recipe.name))

    def _rows(self, model: str, seed: str, split: str, scores: Scores, told: Trained) -> Iterator[Row]:
        values, bounds = scores.metrics(), intervals(scores)
        for metric in self.recipe.metrics:
            yield Row(
                recipe=self.recipe.name,
                task=self.recipe.task,
                model=model,
                seed=seed,
                split=split,
                metric=metric,
                value=rounded(values[metric]),
                low=rounded(bounds[metric].low),
                high=rounded(bounds[metric].high),
                sources=len(scores),
                parameters=told.parameters,
                seconds=round(told.seconds, 1),
                hardware=told.hardware,
                members=told.members,
                signature=scores.signatures.get(f"{metric}_signature", ""),
                config=told.config,
                version=zoo.__version__,
                commit=told.commit,
            )


def score_baselines(recipe: Recipe, files: Files, report: Report, changes: Sequence[str]) -> None:
    """Enter what costs nothing, on the parts that the recipe and changes of it make of the files."""
    words = training_jobs.merged([*training_jobs.words_of(recipe, files), *changes])
    if files.test:
        words.append(training_jobs.file_word("test", files.test))
    config = training_jobs.composed(words)
    parts = read_parts(config)
    train = Rows.of(parts.train.each())
    for one in recipe.baselines:
        scores = {split: baselines.score(one, train, getattr(parts, SPLITS[split]), config) for split in files.splits}
        report.add(one.name, "", scores, Trained(commit=commit()))


def score_jobs(jobs: Sequence[Job], files: Files, report: Report, *, alone: bool) -> None:
    """Train models of a recipe one after the other, and enter each of them and, unless they go alone, all together."""
    told = []
    for job in jobs:
        results = training_jobs.train(job)
        told.append(trained(job, results))
        report.add(job.member.name, str(job.seed), scores_of(zoo.load(job.run.path), files), told[-1])
    if len(jobs) > 1 and not alone:
        complain(f"{report.recipe.title}: {len(jobs)} together")
        together = zoo.load(*(job.run.path for job in jobs))
        report.add(ENSEMBLE, "", scores_of(together, files), added(jobs, told))


def scores_of(model: Any, files: Files) -> dict[str, Scores]:
    """Return the scores of a run, or of several together, on each part."""
    read = {"test": files.test or None}
    return {split: model.outcome(SPLITS[split], files=read.get(split)).scores for split in files.splits}


def trained(job: Job, results: dict[str, Any]) -> Trained:
    """Return what is said of a run."""
    hardware, commits = ("; ".join(training_jobs.note_of(job).get(key, [])) for key in ("hardware", "commit"))
    return Trained(results["parameters"], results["seconds"], hardware, training_jobs.digest(job.config), commits)


def added(jobs: Sequence[Job], told: Sequence[Trained]) -> Trained:
    """Return what is said of several runs together."""
    members = write_models([(job.member, job.seed) for job in jobs])
    hardware = "; ".join(dict.fromkeys(part for one in told for part in one.hardware.split("; ") if part))
    configs = " ".join(dict.fromkeys(one.config for one in told))
    return Trained(sum(one.parameters for one in told), sum(one.seconds for one in told), hardware, configs, commit(),
                   members)  # fmt: skip


def shown(rows: Sequence[Row]) -> str:
    """Write rows in columns."""
    heads = ["recipe", "task", "model", "seed", "part", "metric", "value"]
    cells = [[row.recipe, row.task, row.model, row.seed, row.split, row.metric,
              f"{row.value:.4f} [{row.low:.4f}, {row.high:.4f}]"] for row in rows]  # fmt: skip
    return "\n".join(columns([heads, *cells]))


def listing() -> str:
    """Name the recipes: experiment, members with their seeds, and files."""
    heads = ["recipe", "experiment", "members", "train"]
    cells = [
        [one.title, one.experiment, write_models(each_model(one)), one.train or "(comes with pip)"] for one in RECIPES
    ]
    return "\n".join(columns([heads, *cells]))


def options_of(arguments: list[str]) -> argparse.Namespace:
    """Return what the command line asks for; words with `=` are options of `zoo-train`."""
    parser = Parser(prog="reproduce.py", description=__doc__, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("name", nargs="?", metavar="NAME", help="a recipe, one of its tasks (NAME/TASK), or all")
    parser.add_argument("--data", metavar="DIR", help="where the folders of the data lie")
    parser.add_argument("--members", metavar="LIST", help='only some of the models, as "lstm 1 2, right to left 1"')
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="instead of the recipe's own")
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("runs/reproduce"), help="where runs are kept")
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="where the CSV files are kept; default: results/ of the project"
    )
    parser.add_argument("--baselines", action="store_true", help="train nothing, score only what needs no training")
    parser.add_argument("--list", action="store_true", help="name the recipes")
    parser.add_argument("--tables", action="store_true", help="write the tables of README.md and docs/results.md")
    changes = [word for before, word in zip(["", *arguments], arguments, strict=False)
               if "=" in word and not word.startswith("-") and before not in PLACES]  # fmt: skip
    options = parser.parse_args([word for word in arguments if word not in changes])
    options.changes = changes
    _check(options)
    options.results = options.results or RESULTS
    return options


def _check(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other, have no effect, or would put a trial among the results."""
    seeds = ["--seeds", *map(str, options.seeds)] if options.seeds else []
    if fixed := [word for word in options.changes if parse(word).key in ("seed", "run_dir")]:
        raise ConfigError(f"{' '.join(fixed)} is set for each run; use --seeds or --out")
    for flag, place in (("--results", options.results), ("--out", options.out)):
        if place and place.exists() and not place.is_dir():
            raise ConfigError(f"{flag} {place} is no directory; name another")
    if (options.changes or seeds) and (options.results or RESULTS).resolve() == RESULTS:
        changed = " ".join([*seeds, *options.changes])
        raise ConfigError(f"{changed} changes the recipe; name another place for its rows with --results DIR")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"{' '.join(seeds)} names a seed twice")
    if seeds and options.members:
        raise ConfigError("--members names seeds as well, so leave --seeds away")
    if options.baselines and (chosen := "--seeds" if seeds else options.members and "--members"):
        raise ConfigError(f"--baselines trains nothing, so {chosen} has no effect; leave one away")
    if options.tables and options.results is not None:
        raise ConfigError("--tables is of the project's own results; leave --results away")
    asked = options.changes or seeds or options.members or options.baselines
    if not options.name and (asked or not (options.list or options.tables)):
        raise ConfigError("name a recipe; `--list` shows which there are")


def reproduce(arguments: list[str]) -> int:
    """Do what the command line asks for, after a check of all files and options."""
    options = options_of(arguments)
    if options.list:
        say(listing())
    if options.name:
        score(options)
    if options.tables:
        complain(f"written: {', '.join(update_pages(ROOT, options.results)) or 'nothing, the pages are up to date'}")
    return 0


def score(options: argparse.Namespace) -> None:
    """Train and score the recipes of a name, and show their rows."""
    found = [(recipe, files_of(recipe, options.data)) for recipe in select(options.name)]
    if lacking := without_test(found):
        complain(lacking)
    for recipe, files in found:
        if files.test:
            complain(f"{recipe.title}: the test part is {', '.join(files.test)}")
    jobs = [training_jobs.jobs_of(recipe, files, options.out, options.changes,
                                  models=each_model(recipe, seeds=options.seeds, only=options.members))
            for recipe, files in found]  # fmt: skip
    if not options.baselines:
        for job in (job for trainings in jobs for job in trainings):
            training_jobs.check_same(job)
    reports = [Report(recipe, options.results) for recipe, _ in found]
    if options.results.resolve() == RESULTS and commit().endswith("+"):
        complain("warning: src, configs or scripts differ from the last commit, so no commit has this code; commit it")
    rows = []
    for (recipe, files), trainings, report in zip(found, jobs, reports, strict=True):
        if not options.members:
            score_baselines(recipe, files, report, options.changes)
        if not options.baselines:
            score_jobs(trainings, files, report, alone=bool(options.members))
        if not (options.members or options.seeds or options.changes or options.baselines):
            report.drop_others()
        rows += report.rows
    say(shown(rows))


def files_of(recipe: Recipe, folder: str | None) -> Files:
    """Return the files of a recipe."""
    if recipe.train and folder is None:
        raise ConfigError(f"{recipe.title} needs --data DIR, the directory with {recipe.train.format(*recipe.sides)}")
    return find_files(recipe, Path(folder or ".").expanduser())


def without_test(found: Sequence[tuple[Recipe, Files]]) -> str:
    """Name the recipes that have no test file."""
    lacking = [recipe for recipe, files in found if "test" not in files.splits]
    if not lacking:
        return ""
    first = "".join(f" ({pattern.format(*lacking[0].sides)})" for pattern in lacking[0].test[:1])
    return f"no test file{first}, so only dev is scored: {', '.join(recipe.title for recipe in lacking)}"


if __name__ == "__main__":
    sys.exit(guarded(lambda: reproduce(sys.argv[1:])))

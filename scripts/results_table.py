"""The tables of README.md and docs/results.md, made from `results/*.csv` and from what others have published."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev

from published import LEADERBOARD, RATES, SIGMORPHON, Entry
from recipes import RECIPES, count_models, tasks_of
from rows import ENSEMBLE, MACRO, Row, read_rows

from zoo.errors import StorageError
from zoo.metrics import BETTER
from zoo.storage import write_durably

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
OUT_OF_100 = ("bleu", "chrf")
NAMES = {**dict(zip(RATES, ("WER", "PER"), strict=True)), "bleu": "BLEU", "chrf": "chrF", "macro_f1": "macro F1"}
NONE = "-"


class Found:
    """The rows of one task, and the part that is shown: test where the single model was scored on it."""

    def __init__(self, rows: Sequence[Row], recipe: str, task: str) -> None:
        first = next(one for one in RECIPES if one.name == recipe and task in (one.task, MACRO))
        self.single, self.seeds = first.members[0].name, len(first.members[0].seeds or first.seeds)
        self.rows = [row for row in rows if row.task == task]
        own = [row for row in self.rows if row.model == self.single] or self.rows
        self.split = "test" if any(row.split == "test" for row in own) else "dev"

    def scored_on(self, single: Sequence[Row]) -> str:
        """Name the part that is shown, its sources, and how many seeds of the single model there are, of how many."""
        if not self.rows:
            return NONE
        sources = next(row.sources for row in self.rows if row.split == self.split)
        found = str(len(single)) if len(single) == self.seeds else f"{len(single)} of {self.seeds}"
        return f"{self.split} ({sources:,}), {found} seed{'' if found == '1' else 's'}"

    def of(self, model: str, metric: str) -> list[Row]:
        """Return the rows of a model, a seed each."""
        return [row for row in self.rows if (row.model, row.split, row.metric) == (model, self.split, metric)]

    def models(self) -> list[str]:
        """Return the names of all models, in the order of the file."""
        return list(dict.fromkeys(row.model for row in self.rows))

    def trivial(self, metrics: Sequence[str]) -> str:
        """Return the name of the baseline with the best sum of some metrics; empty where there is none."""
        names = [model for model in self.models()
                 if model.startswith("baseline") and all(self.of(model, metric) for metric in metrics)]  # fmt: skip
        best = min if BETTER[metrics[0]] == "min" else max
        return best(names, key=lambda one: sum(self.of(one, metric)[0].value for metric in metrics), default="")

    def figures(self, model: str, metrics: Sequence[str], write: Callable[[Sequence[Row], str], str]) -> str:
        """Write the figures of a model, a stroke between two metrics."""
        cells = [write(self.of(model, metric), metric) for metric in metrics]
        return NONE if set(cells) == {NONE} else " / ".join(cells)


def figure(value: float, metric: str) -> str:
    """Write a figure as papers do: rates in percent."""
    return f"{value if metric in OUT_OF_100 else 100 * value:.2f}"


def average(rows: Sequence[Row], metric: str) -> str:
    """Write the mean over seeds, and their standard deviation."""
    if not rows:
        return NONE
    text = figure(mean(row.value for row in rows), metric)
    return f"{text} ± {figure(stdev(row.value for row in rows), metric)}" if len(rows) > 1 else text


def bounded(rows: Sequence[Row], metric: str) -> str:
    """Write a figure with its interval."""
    if not rows:
        return NONE
    value, low, high = (figure(one, metric) for one in (rows[0].value, rows[0].low, rows[0].high))
    return f"{value} [{low}, {high}]"


def minutes(rows: Sequence[Row]) -> str:
    """Write how long a training took, for each kind of machine."""
    machines = dict.fromkeys(row.hardware for row in rows)
    each = [mean(row.seconds for row in rows if row.hardware == one) / 60 for one in machines]
    return ", ".join(f"{one:.1f}" if one < 10 else f"{one:.0f}" for one in each) or NONE


def millions(rows: Sequence[Row]) -> str:
    """Write how many parameters there are."""
    return f"{rows[0].parameters / 1e6:.2f} M" if rows else NONE


def members(rows: Sequence[Row]) -> str:
    """Say of how many models an ensemble is; of several tasks the least and the most."""
    groups = [group for row in rows[:1] for group in row.members.split(";")]
    counts = sorted({count_models(group) for group in groups})
    return f" ({' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} models)" if counts else ""


def untrained(found: Found, metrics: Sequence[str]) -> str:
    """Write the figures of the best baseline, and its name."""
    best = found.trivial(metrics)
    return f"{found.figures(best, metrics, average)} ({best.removeprefix('baseline: ')})" if best else NONE


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table; all but its first column stand to the right."""
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def leaderboard(folder: Path) -> str:
    """Return what the zoo reaches beside what others have published."""
    heads = ["task", "published, one model", "zoo", "published, ensemble", "zoo", "no training", "scored on",
             "parameters", "minutes"]  # fmt: skip
    return markdown(heads, [_line(entry, read_rows(folder / f"{entry.recipe}.csv")) for entry in LEADERBOARD])


def _line(entry: Entry, rows: Sequence[Row]) -> list[str]:
    found = Found(rows, entry.recipe, entry.task)
    single = found.of(found.single, entry.metrics[0])
    together = found.figures(ENSEMBLE, entry.metrics, bounded) + members(found.of(ENSEMBLE, entry.metrics[0]))
    return [
        entry.title,
        entry.single or NONE,
        found.figures(found.single, entry.metrics, average),
        entry.ensemble or NONE,
        together,
        untrained(found, entry.metrics),
        found.scored_on(single),
        millions(single),
        minutes(single),
    ]


def languages(folder: Path) -> str:
    """Return WER and PER of each language of SIGMORPHON 2020, beside published WERs."""
    rows = read_rows(folder / "sigmorphon2020.csv")
    heads = ["language", "LSTM", "Transformer", "best submission", "zoo, one model", "zoo, ensemble",
             "no training", "scored on", "minutes"]  # fmt: skip
    return markdown(heads, [_language(one, theirs, rows) for one, theirs in SIGMORPHON.items()])


def _language(language: str, theirs: Sequence[float], rows: Sequence[Row]) -> list[str]:
    found = Found(rows, "sigmorphon2020", language)
    single = found.of(found.single, RATES[0])
    return [
        language,
        *(f"{one:.2f}" for one in theirs),
        found.figures(found.single, RATES, average),
        found.figures(ENSEMBLE, RATES, bounded),
        untrained(found, RATES),
        found.scored_on(single),
        minutes(single),
    ]


def every_run(folder: Path, recipe: str) -> str:
    """Return all figures of a recipe with their intervals, a line for each model, seed and part.

    Of a recipe of several tasks these are the means over them.
    """
    rows = read_rows(folder / f"{recipe}.csv")
    shown = [row for row in rows if row.task in ("", MACRO)]
    metrics = list(dict.fromkeys(row.metric for row in shown))
    heads = ["model", "seed", "part", *(NAMES.get(one, one) for one in metrics), "parameters", "minutes", "trained on"]
    groups: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in shown:
        groups.setdefault((row.model, row.seed, row.split), {})[row.metric] = row
    return markdown(heads, list(_lines(groups, metrics)))


def _lines(groups: dict[tuple[str, str, str], dict[str, Row]], metrics: Sequence[str]) -> Iterator[list[str]]:
    for (model, seed, split), found in groups.items():
        row = next(iter(found.values()))
        name = f"{model} of {row.members}" if row.members else model
        figures = [bounded([found[one]] if one in found else [], one) for one in metrics]
        trained = [millions([row]), minutes([row]), row.hardware or NONE] if row.parameters else [NONE] * 3
        yield [name, seed or NONE, split, *figures, *trained]


def docs_part(folder: Path) -> str:
    """Return what stands between the marks of docs/results.md."""
    parts = [leaderboard(folder), "## SIGMORPHON 2020, WER / PER % of each language", languages(folder)]
    for recipe in dict.fromkeys(one.name for one in RECIPES):
        if read_rows(folder / f"{recipe}.csv"):
            title = f"Runs of `{recipe}`, means over its tasks" if tasks_of(recipe) else f"Every run of `{recipe}`"
            parts += [f"## {title}", every_run(folder, recipe)]
    return "\n\n".join(parts)


PAGES = {"README.md": leaderboard, "docs/results.md": docs_part}


def page(text: str, table: str, where: str = "the page") -> str:
    """Return a page with a table between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise StorageError(f"{where}: has no {BEGIN} and {END}; put them where the table should stand")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def update_pages(root: Path, folder: Path) -> list[str]:
    """Write the tables of `folder`'s rows into the pages below `root`, and return the names of those that change."""
    texts = {name: (root / name).read_text("utf-8") for name in PAGES}
    made = {name: page(text, PAGES[name](folder), str(root / name)) for name, text in texts.items()}
    changed = [name for name in PAGES if made[name] != texts[name]]
    for name in changed:
        write_durably(root / name, made[name].encode())
    return changed

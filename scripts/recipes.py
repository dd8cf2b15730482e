"""What is reproduced: for each task the experiment, its members and seeds, the files, and the figures reported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import baselines
from baselines import Baseline
from published import RATES

from zoo.errors import ConfigError, DataError, unknown


@dataclass(frozen=True, kw_only=True)
class Member:
    """A model of a recipe: what tables call it, what it changes, and its seeds (none: those of the recipe).

    An override takes the place of the recipe's own of that key, so that `experiment=NAME` makes another family of it.
    """

    name: str
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a published result is made again.

    The first member is the single model that is reported; all members with all their seeds are the ensemble. Files are
    relative to the directory of the data; one with `{}` is two line-aligned files, named by `sides`. Without `dev` it
    is held out of train, without `train` the data come with pip. `test` are patterns, of which the first that matches
    counts. The first of the metrics is the main one.
    """

    name: str
    task: str = ""
    experiment: str
    metrics: tuple[str, ...]
    members: tuple[Member, ...]
    seeds: tuple[int, ...] = (1, 2, 3)
    train: str = ""
    dev: str = ""
    test: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    baselines: tuple[Baseline, ...] = (baselines.MAJORITY,)

    @property
    def title(self) -> str:
        """What the command line calls the recipe."""
        return f"{self.name}/{self.task}" if self.task else self.name


RIGHT_TO_LEFT = Member(name="right to left", overrides=("dataset.tgt_direction=right_to_left",), seeds=(1,))
PRONUNCIATION = (baselines.COPY_LETTERS, baselines.NEAREST)
LANGUAGES = ("ady", "arm", "bul", "dut", "fre", "geo", "gre", "hin", "hun", "ice", "jpn", "kor", "lit", "rum", "vie")


def sigmorphon(language: str) -> Recipe:
    """Return the recipe of one language of SIGMORPHON 2020, task 1."""
    home = "sigmorphon2020-g2p"
    return Recipe(
        name="sigmorphon2020",
        task=language,
        experiment="sigmorphon2020",
        metrics=RATES,
        members=(Member(name="lstm"), RIGHT_TO_LEFT),
        train=f"{home}/train/{language}_train.tsv",
        dev=f"{home}/dev/{language}_dev.tsv",
        test=(f"{home}/test/{language}_test.tsv", f"{home}/test/{language}*.tsv", f"{home}/{language}_test.tsv"),
        baselines=PRONUNCIATION,
    )


RECIPES = (
    *map(sigmorphon, LANGUAGES),
    Recipe(
        name="cmudict",
        experiment="cmudict_g2p",
        metrics=RATES,
        members=(Member(name="lstm"), RIGHT_TO_LEFT),
        train="cmudict-g2p/g014b2b.train",
        test=("cmudict-g2p/g014b2b.test", "cmudict-g2p/*test*"),
        baselines=PRONUNCIATION,
    ),
    Recipe(
        name="multi30k",
        experiment="multi30k",
        metrics=("bleu", "chrf"),
        members=(
            Member(name="transformer"),
            Member(name="r-drop", overrides=("experiment=multi30k_rdrop",), seeds=(1,)),
        ),
        train="multi30k/tok/train.lc.norm.tok.{}",
        dev="multi30k/tok/val.lc.norm.tok.{}",
        test=tuple(
            f"multi30k/tok/{name}{end}.{{}}"
            for end in (".lc.norm.tok", "")
            for name in ("test_2016_flickr", "test_2016", "test2016", "test")
        ),
        sides=("en", "de"),
        overrides=("dataset.bleu=none",),  # the files are tokenized
        baselines=(baselines.COPY, baselines.NEAREST),
    ),
    Recipe(
        name="nsmc",
        experiment="nsmc",
        metrics=("accuracy", "macro_f1"),
        members=(
            Member(name="linear"),
            Member(name="cnn", overrides=("experiment=nsmc_cnn",), seeds=(1,)),
            Member(name="lstm", overrides=("experiment=nsmc_lstm",), seeds=(1, 2)),
        ),
        train="nsmc/ratings_train.txt",
        test=("nsmc/ratings_test.txt", "nsmc/*test*"),
    ),
    Recipe(
        name="trec6",
        experiment="trec6",
        metrics=("accuracy", "macro_f1"),
        members=(Member(name="linear"), Member(name="lstm", overrides=("experiment=trec6_lstm",))),
        train="trec6/train.tsv",
        test=("trec6/test.tsv", "trec6/test*"),
    ),
    Recipe(
        name="sst2",
        experiment="sst2",
        metrics=("accuracy", "macro_f1"),
        members=(Member(name="linear"), Member(name="lstm", overrides=("experiment=sst2_lstm",))),
        train="sst/binary_train.tsv",
        dev="sst/binary_dev.tsv",
        test=("sst/binary_test.tsv", "sst/binary_test*"),
    ),
    Recipe(
        name="r8",
        experiment="r8",
        metrics=("accuracy", "macro_f1"),
        members=(Member(name="linear"),),
        train="r8/train.txt",
        test=("r8/test.txt", "r8/*test*"),
    ),
    Recipe(
        name="imdb",
        experiment="imdb",
        metrics=("accuracy", "macro_f1"),
        members=(Member(name="linear"), Member(name="cnn", overrides=("experiment=imdb_cnn",), seeds=(1,))),
    ),
)


def tasks_of(name: str) -> list[str]:
    """Return the tasks of a recipe of several, such as languages."""
    return [recipe.task for recipe in RECIPES if recipe.name == name and recipe.task]


def select(name: str) -> list[Recipe]:
    """Return the recipes that a name means; ConfigError where there is none."""
    found = [one for one in RECIPES if name in ("all", one.name, one.title)]
    if not found:
        names = dict.fromkeys(name for one in RECIPES for name in (one.name, one.title))
        raise ConfigError(unknown("recipe", name, ["all", *names]))
    return found


class Files(NamedTuple):
    """The files of each part: one, two line-aligned ones, or none."""

    train: list[str]
    dev: list[str]
    test: list[str]

    @property
    def splits(self) -> list[str]:
        """The parts that are scored; data that come with pip have both."""
        return ["dev", "test"] if self.test or not self.train else ["dev"]


def find_files(recipe: Recipe, folder: Path) -> Files:
    """Return where the files of a recipe lie; DataError for one that is missing (test may be), or may be several."""
    train, dev = (_first(recipe, folder, (name,)) for name in (recipe.train, recipe.dev))
    for name, found in ((recipe.train, train), (recipe.dev, dev)):
        if name and not found:
            where = folder / name.format(*recipe.sides)
            raise DataError(f"{where}: no such file; {recipe.title} needs it, name its directory with --data")
    return Files(train, dev, _first(recipe, folder, recipe.test))


def _first(recipe: Recipe, folder: Path, patterns: tuple[str, ...]) -> list[str]:
    for pattern in filter(None, patterns):
        found = [paths for path in sorted(folder.glob(pattern.format(*recipe.sides[:1])))
                 if (paths := _whole(recipe, path))]  # fmt: skip
        if len(found) > 1:
            names = " and ".join(Path(paths[0]).name for paths in found)
            raise DataError(f"{folder / pattern}: may be {names}; leave one there for {recipe.title}")
        if found:
            return found[0]
    return []


def _whole(recipe: Recipe, path: Path) -> list[str]:
    """Return the files of both sides where a path is one of them, or the file; none where it is no data."""
    if path.name.startswith(".") or path.suffix == ".md":
        return []
    paths = [path.with_name(f"{path.name.removesuffix(path.suffix)}.{side}") for side in recipe.sides] or [path]
    return [str(one.absolute()) for one in paths] if all(one.is_file() for one in paths) else []


Model = tuple[Member, int]
"""A member of a recipe with one of its seeds."""


def write_models(models: Iterable[Model]) -> str:
    """Name models as tables and `--members` do: `lstm 1 2, right to left 1`."""
    seeds: dict[str, list[str]] = {}
    for member, seed in models:
        seeds.setdefault(member.name, []).append(str(seed))
    return ", ".join(f"{name} {' '.join(found)}" for name, found in seeds.items())


def count_models(text: str) -> int:
    """Return how many models `write_models` has named."""
    return sum(word.isdigit() for word in text.replace(",", " ").split())


def each_model(recipe: Recipe, *, seeds: Sequence[int] | None = None, only: str | None = None) -> list[Model]:
    """Return the models of a recipe.

    `seeds` stand in for all others. `only` names some, as `write_models` does; a member without seeds
    means all of them. ConfigError where there is none of that name or seed.
    """
    found = [(member, seed) for member in recipe.members for seed in seeds or member.seeds or recipe.seeds]
    if only is None:
        return found
    asked = [model for text in only.split(",") for model in _chosen(recipe, text.split(), found)]
    return [model for model in found if model in asked]


def _chosen(recipe: Recipe, words: list[str], models: list[Model]) -> list[Model]:
    """Return the models that a name and seeds stand for."""
    name = " ".join(word for word in words if not word.isdigit())
    own = {str(seed): (member, seed) for member, seed in models if member.name == name}
    if not own:
        raise ConfigError(f"{recipe.title}: {unknown('member', name, dict.fromkeys(one.name for one, _ in models))}")
    asked = [word for word in words if word.isdigit()]
    if strange := [seed for seed in asked if seed not in own]:
        raise ConfigError(f"{recipe.title}: {name} has the seeds {' '.join(own)}, and not {' '.join(strange)}")
    return [own[seed] for seed in asked or own]

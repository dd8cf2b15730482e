"""Every YAML composes, and what the command line composes without Hydra is what Hydra composes."""

from collections.abc import Iterator

import pytest
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from zoo.cli import overrides as checking
from zoo.cli import train as train_verb
from zoo.cli.compose import ALL_GROUPS, compose, folder, names, read, select
from zoo.cli.hydra_app import register
from zoo.config import GROUPS, TrainConfig, from_dict, to_dict
from zoo.errors import ConfigError

FILES = [(group, name) for group in ALL_GROUPS for name in names(group)]
OWN_FILES = {"pairs", "labelled", "torchtext", "hub"}
PAIRS = [
    ["model=classifier", "dataset=parity"],
    ["model=classifier_functional", "scheduler=noam", "optimizer=adamw"],
    ["experiment=trec6_lstm", "model=classifier_functional", "dataset.train=x"],
    ["experiment=multi30k", "debug=overfit", "scheduler=noam", "dataset.train=[x,y]"],
    ["scheduler=noam", "debug=fast", "dataset=sort", "model=seq2seq"],
]


@pytest.fixture(scope="module", autouse=True)
def hydra() -> Iterator[None]:
    register()
    with initialize_config_module("zoo.configs", version_base="1.3"):
        yield


def by_hydra(*overrides: str) -> TrainConfig:
    config = OmegaConf.to_object(hydra_compose("train", list(overrides)))
    assert isinstance(config, TrainConfig)
    return config


def ours(*overrides: str) -> dict[str, object]:
    typed = dict(word.split("=", 1) for word in overrides)
    data = compose(select({key: value for key, value in typed.items() if key in ALL_GROUPS}))
    if "dataset.train" in typed:
        data["dataset"]["train"] = yaml.safe_load(typed["dataset.train"])
    return data


@pytest.mark.parametrize(("group", "name"), FILES)
def test_every_file_composes_the_same_with_hydra_and_without(group: str, name: str) -> None:
    assert to_dict(by_hydra(f"{group}={name}")) == ours(f"{group}={name}")


@pytest.mark.parametrize("overrides", PAIRS, ids=" ".join)
def test_choices_together_compose_the_same_with_hydra_and_without(overrides: list[str]) -> None:
    assert to_dict(by_hydra(*overrides)) == ours(*overrides)


SWEEPS = [name for name in names("experiment") if read("experiment", name).sweep]


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_of_an_experiment_passes_the_checks_and_what_is_typed_wins(name: str) -> None:
    words = train_verb._with_sweep(train_verb.part([f"experiment={name}"]))
    assert words.flags == ["--multirun"]
    parsed = [checking.parse(word, multirun=True) for word in words.overrides]
    assert train_verb.checked(parsed, complete=True)
    assert len(list(checking.combinations(parsed))) > 1
    key = next(iter(read("experiment", name).sweep))
    typed = train_verb._with_sweep(train_verb.part([f"experiment={name}", f"{key}=1", "-m"]))
    assert [word for word in typed.overrides if word.startswith(f"{key}=")] == [f"{key}=1"]
    assert typed.flags == ["-m"]


@pytest.mark.parametrize(("group", "name"), FILES)
def test_every_file_gives_a_config_that_passes_the_checks(group: str, name: str) -> None:
    overrides = [f"{group}={name}"]
    if group == "dataset" and name in ("movie_reviews", "parity", "labelled", "torchtext", "hub"):
        overrides.append("model=classifier")
    data = ours(*overrides)
    if data["dataset"]["name"] in OWN_FILES:  # type: ignore[index]
        data["dataset"]["train"] = "my.tsv"  # type: ignore[index]
    if data["dataset"]["name"] == "hub":  # type: ignore[index]
        data["dataset"]["path"] = "csv"  # type: ignore[index]
    if data["dataset"]["name"] == "prepared":  # type: ignore[index]
        data["dataset"]["path"] = "my"  # type: ignore[index]
    assert to_dict(from_dict(data)) == data


@pytest.mark.parametrize(("group", "name"), FILES)
def test_every_file_has_a_title_and_sets_the_whole_config(group: str, name: str) -> None:
    text = (folder() / group / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# @package _global_\n# ")
    assert 10 < len(read(group, name).title) <= 90


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_holds_a_file_for_every_dataclass_and_no_other(group: str) -> None:
    assert list(names(group)) == list(GROUPS[group])


def test_the_defaults_train_a_transformer_on_pronunciation() -> None:
    config = by_hydra()
    assert (config.model.name, config.dataset.name) == ("transformer", "cmudict")


@pytest.mark.parametrize("model", ["classifier", "classifier_functional"])
def test_a_classifier_brings_its_dataset_and_the_command_line_wins(model: str) -> None:
    assert by_hydra(f"model={model}").dataset.name == "movie_reviews"
    assert by_hydra(f"model={model}", "dataset=parity").dataset.name == "parity"
    assert by_hydra("dataset=parity", f"model={model}").dataset.name == "parity"


def test_an_experiment_beats_the_model_and_the_command_line_beats_the_experiment() -> None:
    assert by_hydra("experiment=trec6_lstm").dataset.columns == [1, 0]
    assert by_hydra("experiment=trec6_lstm").model.name == "classifier"
    config = by_hydra("experiment=trec6_lstm", "model=classifier_functional", "epochs=3", "dataset.columns=[0,1]")
    assert (config.model.name, config.epochs, config.dataset.columns) == ("classifier_functional", 3, [0, 1])


def test_an_experiment_whose_values_another_choice_does_not_have_is_refused_by_both() -> None:
    with pytest.raises(ConfigCompositionException, match="columns"):
        by_hydra("experiment=trec6_lstm", "dataset=movie_reviews")
    with pytest.raises(ConfigError, match=r"experiment=trec6_lstm sets `dataset.columns`, which dataset=movie_reviews"):
        ours("experiment=trec6_lstm", "dataset=movie_reviews")


def test_noam_sets_its_factor_as_rate_and_a_typed_rate_wins() -> None:
    assert by_hydra("scheduler=noam").optimizer.lr == 1.0
    assert by_hydra("scheduler=noam", "optimizer=sgd").optimizer.lr == 1.0
    assert by_hydra("scheduler=noam", "optimizer.lr=2").optimizer.lr == 2.0
    assert by_hydra("optimizer.lr=2", "scheduler=noam").optimizer.lr == 2.0


def test_overfit_is_one_small_set_without_noise() -> None:
    config = by_hydra("debug=overfit", "experiment=multi30k")
    assert (config.dataset.limit, config.model.dropout, config.label_smoothing) == (64, 0.0, 0.0)

"""What the command line understands: overrides with their types, paths, sweeps, and those of a resumed run."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.cli import run
from zoo.cli.overrides import parse, read_value, split, write_value
from zoo.config import Precision, TrainConfig, load_config, save_config


def test_no_override_gives_the_composed_defaults(trained: list[TrainConfig]) -> None:
    assert run(["train"]) == 0
    assert (trained[0].model.name, trained[0].dataset.name, trained[0].epochs) == ("transformer", "cmudict", 3)


def test_overrides_reach_the_config_with_their_types(trained: list[TrainConfig]) -> None:
    run(["train", "seed=0", "max_steps=1e3", "optimizer.lr=1e-3", "compile=True", "precision=bf16", "+clip=2",
         "++ema=0.5", "optimizer.betas=[0.8,0.9]", "max_seconds=90"])  # fmt: skip
    config = trained[0]
    assert (config.seed, config.max_steps, config.optimizer.lr, config.compile) == (0, 1000, 0.001, True)
    assert (config.precision, config.clip, config.ema) == (Precision.bf16, 2.0, 0.5)
    assert (config.optimizer.betas, config.max_seconds) == ([0.8, 0.9], 90.0)


@pytest.mark.parametrize(
    "path",
    ["데이터.tsv", "my data (1).tsv", "a=b#c~d.tsv", "it's.tsv", "a,b.tsv", "back\\slash\\",
     "quote\\'.tsv", "{x}:[y].tsv", "null", "3"],
)  # fmt: skip
def test_any_path_simply_works(path: str, trained: list[TrainConfig]) -> None:
    run(["train", "dataset=pairs", f"dataset.train={path}", f"run_dir=runs/{path}x"])
    assert (trained[0].dataset.train, trained[0].run_dir) == (path, f"runs/{path}x")


def test_lists_of_paths_and_names_are_quoted_one_by_one(trained: list[TrainConfig]) -> None:
    run(
        [
            "train",
            "dataset=pairs",
            "dataset.train=[가 나.en,b (2).de]",
            "dataset.columns=['제목, 둘',1]",
            "dataset.header=true",
        ]
    )
    assert trained[0].dataset.train == ["가 나.en", "b (2).de"]
    assert trained[0].dataset.columns == ["제목, 둘", 1]
    assert trained[0].dataset.header == "true"


def test_home_and_quotes_typed_by_hand_are_understood(trained: list[TrainConfig]) -> None:
    run(["train", "dataset=pairs", "dataset.train='a b.tsv'", "run_dir=~/r"])
    assert (trained[0].dataset.train, trained[0].run_dir) == ("a b.tsv", str(Path("~/r").expanduser()))


def test_interpolations_are_left_to_hydra(trained: list[TrainConfig]) -> None:
    run(["train", "seed=7", "epochs=${seed}"])
    assert trained[0].epochs == 7


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"])).filter(lambda text: "${" not in text))
def test_hydra_reads_back_every_text_that_is_written_for_it(text: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    override = OverridesParser.create().parse_override(f"key={write_value(text)}")
    assert override.value() == text


def test_commas_inside_of_quotes_and_brackets_do_not_split() -> None:
    assert split("[a,b],'c,d',it's,e") == ["[a,b]", "'c,d'", "it's", "e"]


def test_a_comma_sweeps_only_in_a_multirun() -> None:
    assert parse("dataset.train=a,b").texts == ["a,b"]
    assert parse("dataset.train=a,b", multirun=True).texts == ["a", "b"]
    assert parse("seed=range(1,4)", multirun=True).raw


@pytest.mark.parametrize(("text", "value"), [("null", None), ("", ""), ("~no-such-user/x", "~no-such-user/x")])
def test_an_optional_path_may_be_null(text: str, value: str | None) -> None:
    assert read_value(text, str | None, "run_dir") == value


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_config(TrainConfig(epochs=3, seed=5), tmp_path / "config.yaml")
    return tmp_path


def test_resume_takes_the_runs_config_with_typed_overrides_on_top(saved: Path, trained: list[TrainConfig]) -> None:
    run(["train", f"resume={saved}", "epochs=9", "optimizer.lr=1e-5", "scheduler=linear"])
    config = trained[0]
    assert (config.seed, config.epochs, config.optimizer.lr, config.scheduler.name) == (5, 9, 1e-5, "linear")
    assert (config.resume, config.run_dir) == (str(saved), str(saved))
    assert load_config(saved / "config.yaml").epochs == 3


def test_another_scheduler_brings_its_values_to_a_run_that_goes_on(saved: Path, trained: list[TrainConfig]) -> None:
    run(["train", f"resume={saved}", "scheduler=noam"])
    run(["train", f"resume={saved}", "scheduler=noam", "optimizer.lr=0.5"])
    assert [config.optimizer.lr for config in trained] == [1.0, 0.5]

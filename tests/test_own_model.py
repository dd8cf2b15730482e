"""A user's own nn.Module: imported where that is allowed and nowhere else, and trained as any other model."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import LABELLED, PAIRS, PATIENCE, environment, inside, one_error
from own_models import Sequences, Words

import zoo
from zoo.checkpoint import load_checkpoint
from zoo.cli.compose import compose, select
from zoo.config import PERMISSION, LabelledConfig, PairsConfig, TrainConfig, from_dict, model_config, own_model, to_dict
from zoo.data.sizes import PairSizes, TextSizes
from zoo.errors import CodeError, ConfigError
from zoo.experiment import train
from zoo.experiment.inspection import encoded
from zoo.models import list_models

ROOT = Path(__file__).parents[1]
TEXTS, BOTH = TextSizes(20, 3), PairSizes(20, 20)
WORDS, SEQUENCES = "own_models:Words", "own_models:Sequences"
Toy = Callable[..., TrainConfig]


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow the models of these tests, and take back where Python looks for modules afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(PERMISSION, "own_models")


@pytest.fixture
def labels(here: Path, toy: Toy) -> Toy:
    """Return what makes the config of a model of labels."""
    Path("labelled.tsv").write_text(LABELLED)
    return lambda **changes: toy(**{"model": model_config(WORDS, {}), "run_dir": "run",
                                    "dataset": LabelledConfig(train="labelled.tsv"), **changes})  # fmt: skip


@pytest.mark.parametrize("told", ["", "0", "own", "own_models2", "other,zoo", "own_models:Words"])
def test_without_permission_nothing_is_imported(told: str, monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    monkeypatch.setenv(PERMISSION, told)
    Path("harm.py").write_text("open('harmed', 'w')")
    with pytest.raises(
        CodeError, match=r"model=harm:X is code that does not belong to the zoo, .* set ZOO_ALLOW_CODE=harm"
    ):
        own_model("harm:X")
    with pytest.raises(CodeError):
        own_model(WORDS)
    assert not Path("harmed").exists()


@pytest.mark.parametrize("told", ["1", "own_models", "other, own_models"])
def test_a_module_is_allowed_by_its_name_among_others_or_with_all(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PERMISSION, told)
    assert own_model(WORDS).cls is Words


def test_a_package_is_allowed_with_what_is_in_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mypkg").mkdir()
    Path("mypkg/my_model.py").write_text("from own_models import Words\n\nclass MyModel(Words):\n    pass\n")
    monkeypatch.setenv(PERMISSION, "mypkg")
    assert own_model("mypkg.my_model:MyModel").cls.__name__ == "MyModel"
    with pytest.raises(CodeError):
        own_model("mypkgs:MyModel")


def test_no_verb_opens_a_run_of_code_without_permission(
    labels: Toy, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    train(labels(epochs=1))
    monkeypatch.delenv(PERMISSION)
    for words in (["train", f"model={WORDS}"], ["train", "resume=run"], ["evaluate", "run"], ["predict", "run"],
                  ["diagnose", "run"], ["compare", "run", "run"]):  # fmt: skip
        capfd.readouterr()
        assert inside(*words) == 2
        message = one_error(capfd.readouterr().err)
        assert f"model={WORDS} is code" in message
        assert words[0] == "train" or "run/config.yaml: " in message


def test_a_saved_config_cannot_give_the_permission(labels: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    train(labels(epochs=1))
    with Path("run/config.yaml").open("a") as file:
        file.write("ZOO_ALLOW_CODE: 1\n")
    capfd.readouterr()
    assert inside("evaluate", "run") == 4
    assert "unknown option 'ZOO_ALLOW_CODE'" in one_error(capfd.readouterr().err)


def test_the_arguments_of_the_constructor_are_the_options() -> None:
    options = {"width": 6, "kind": "sum", "windows": [3], "cut": 2, "bias": False, "dropout": 0}
    config = model_config(WORDS, options)
    assert to_dict(config) == {"name": WORDS, **options, "max_length": 512}
    names = "name width dropout kind windows cut bias max_length"
    assert " ".join(to_dict(model_config(WORDS, {}))) == names
    model = zoo.create_model(WORDS, sizes=TEXTS, **options)
    assert isinstance(model, Words)
    assert model.given == {key: value for key, value in options.items() if key != "dropout"}
    assert type(model.given["kind"]) is str
    assert WORDS not in list_models()


@pytest.mark.parametrize(("options", "message"), [
    ({"widht": 3}, "unknown option 'widht'; did you mean 'width'?"),
    ({"width": "x"}, "`model.width` must be of type int, but is 'x'"),
    ({"width": 1.5}, "`model.width` must be of type int, but is 1.5"),
    ({"kind": "max"}, "unknown value 'max' (choices: mean, sum)"),
    ({"windows": ["a"]}, "`model.windows` must be of type int, but is 'a'"),
    ({"dropout": 1.0}, "`model.dropout` must be at least 0 and below 1, but is 1.0"),
    ({"max_length": 1}, "`model.max_length` must be at least 2, but is 1"),
])  # fmt: skip
def test_an_unknown_option_or_a_wrong_value_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        model_config(WORDS, options)
    assert message in str(caught.value)


def test_sizes_and_what_a_class_asks_for_are_given() -> None:
    model = zoo.create_model(SEQUENCES, sizes=PairSizes(20, 20, True), max_length=9)
    assert isinstance(model, Sequences)
    assert model.given == {"max_length": 9, "shared_vocabulary": True}
    assert model.positions.num_embeddings == 10
    assert "shared_vocabulary" not in to_dict(model_config(SEQUENCES, {}))
    assert zoo.create_model("own_models:Told", sizes=TEXTS).training


def test_trying_a_new_model_draws_no_random_number() -> None:
    torch.manual_seed(3)
    built, drawn = zoo.create_model(WORDS, sizes=TEXTS), torch.rand(1)
    torch.manual_seed(3)
    direct = Words(*TEXTS)
    assert torch.equal(torch.rand(1), drawn)
    assert all(torch.equal(one, other) for one, other in zip(built.parameters(), direct.parameters(), strict=True))


@pytest.mark.parametrize(("name", "message"), [
    ("nowhere:Model", "there is no module 'nowhere' in "),
    ("own_models:Word", "unknown class of own_models 'Word'; did you mean 'Words'?"),
    ("own_models:function", "function is no torch.nn.Module; name a class that is derived from it"),
    ("own_models:State", "State is no torch.nn.Module"),
    ("own_models.py:Words", "is no name of a class; write model=module:Class, as in model=own_models:Words"),
    ("tests/own_models.py:Words", "as in model=tests.own_models:Words"),
    (":Words", "is no name of a class; write model=module:Class, as in model=my_model:MyModel"),
    ("own_models:NoSearch", "a model of source and target sequences needs `encode` too"),
    ("own_models:NoSizes", "its constructor must begin with sizes of the data: __init__(self, vocab_size, "),
    ("own_models:NoDefault", "its argument `width` needs a default, since it is an option"),
    ("own_models:WrongType", "its argument `table` is of type dict[str, int], but options are bool, int, float, str"),
    ("own_models:OneInput", "to write sequences, but takes (text)"),
    ("own_models:UnknownTask", "unknown `task` 'classify' (choices: pairs, labelled)"),
    ("broken:Model", "broken cannot be imported: ValueError: on purpose (broken.py:2)"),
    ("lacking:Model", "lacking cannot be imported: ModuleNotFoundError: No module named 'not_there' (lacking.py:1)"),
    ("unfinished:Model", "unfinished cannot be imported: SyntaxError: '(' was never closed (unfinished.py, line 1)"),
])  # fmt: skip
def test_what_is_no_model_is_told_in_one_line(
    name: str, message: str, here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PERMISSION, "1")
    Path("broken.py").write_text("def fail():\n    raise ValueError('on purpose')\n\nfail()\n")
    Path("lacking.py").write_text("import not_there\n")
    Path("unfinished.py").write_text("x = (\n")
    assert inside("train", f"model={name}") == 2
    assert message in one_error(capfd.readouterr().err)


@pytest.mark.parametrize(("name", "message"), [
    ("TwoOutputs", "forward(text, lengths) must return logits (batch, classes), here (2, 3), but returns a tuple of a "
                   "tensor of shape (2, 3) and a tensor of shape (2,)"),
    ("WrongShape", "must return logits (batch, classes), here (2, 3), but returns a tensor of shape (2, 8)"),
    ("Raises", "model=own_models:Raises fails: RuntimeError: "),
    ("StateAlone", "decode_step(tokens, state) must return logits and the next state, which has `select(rows)`, but "),
])  # fmt: skip
def test_what_a_new_model_gives_is_looked_at_before_training(name: str, message: str) -> None:
    with pytest.raises(CodeError) as caught:
        zoo.create_model(f"own_models:{name}", sizes=BOTH if name == "StateAlone" else TEXTS)
    assert message in str(caught.value)
    assert name != "Raises" or "(own_models.py:" in str(caught.value)


@pytest.mark.parametrize(("words", "message"), [
    (["model=own_models.Words"], "unknown model 'own_models.Words' (choices: seq2seq, transformer, classifier, "
                                 "classifier_functional, linear); a class of your own is model=own_models:Words"),
    ([f"model={WORDS}", "dataset=cmudict"], "datasets that fit: movie_reviews, parity, labelled"),
    ([f"model={SEQUENCES}", "dataset=parity"], "datasets that fit: cmudict, copy, reverse, sort"),
    ([f"model={WORDS}", "model.widht=3"], "unknown option of model=own_models:Words 'widht'; did you mean 'width'?"),
    ([f"model={WORDS}", "scheduler=noam"], "model=own_models:Words has none; choose another"),
    ([f"model={WORDS},{SEQUENCES}"], f"for a training with each write -m model={WORDS},{SEQUENCES}"),
])  # fmt: skip
def test_the_command_line_tells_what_does_not_fit(
    words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside("train", *words) == 2
    assert message in one_error(capfd.readouterr().err)


def test_help_shows_the_options_and_their_defaults(capfd: pytest.CaptureFixture[str]) -> None:
    assert inside("train", f"model={WORDS}", "--help") == 0
    out = capfd.readouterr().out
    assert "Options of model=own_models:Words (KEY=DEFAULT)\n  model.width=8\n" in out
    assert "(mean | sum)" in out
    assert "movie_reviews *" in out


def test_a_classifier_trains_resumes_to_the_same_bits_and_answers(labels: Toy) -> None:
    whole = train(labels(run_dir="whole"))
    train(labels(max_steps=2))
    assert train(labels(resume=True))["valid"] == whole["valid"]
    tensors = [load_checkpoint(Path(run, "checkpoints/best.safetensors")).part("model") for run in ("whole", "run")]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    run = zoo.load("run")
    assert run.evaluate("valid") == whole["valid"]
    assert set(run.predict(["abab"])[0].probabilities) == {"even", "odd"}
    assert set(zoo.load("run", "whole").predict(["abab"])[0].probabilities) == {"even", "odd"}


def test_a_sequence_model_is_searched_and_joins_others(here: Path, toy: Toy) -> None:
    Path("pairs.tsv").write_text(PAIRS)
    dataset = PairsConfig(train="pairs.tsv")
    for seed in (1, 2):
        train(toy(model=model_config(SEQUENCES, {}), dataset=dataset, seed=seed, run_dir=f"run{seed}", epochs=1))
    run = zoo.load("run1")
    assert len(run.predict(["abba"], beam=3, nbest=2)[0]) == 2
    assert len(zoo.load("run1", "run2").predict(["abba", "ab"])) == 2
    src, lengths = torch.tensor([[4, 5, 3], [4, 3, 0]]), torch.tensor([3, 2])
    states = encoded(run.model, run.model.encoder, src, lengths)  # type: ignore[arg-type]
    alone = encoded(run.model, run.model.encoder, src[1:, :2], lengths[1:])  # type: ignore[arg-type]
    torch.testing.assert_close(states[1:], alone)


def test_states_that_are_not_batch_first_are_refused_with_their_shape() -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.GRU(4, 4))
    model.encode = lambda ids, lengths: model(ids.t())  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"must be \(batch, time, dim\) or \(batch, dim\), but are \(5, 2, 4\) for 2"):
        encoded(model, model[1], torch.ones(2, 5, dtype=torch.int64), torch.tensor([5, 4]))


def test_a_saved_config_is_read_back_equal_and_the_run_is_called_by_its_class(labels: Toy) -> None:
    found = train(labels(run_dir=None, epochs=1))
    assert Path(found["run_dir"]).parent == Path("runs/labelled-Words")
    config = zoo.load("last").config
    assert (config.model.name, to_dict(config.model)) == (WORDS, to_dict(labels().model))
    assert from_dict(to_dict(config)) == config


@pytest.mark.parametrize(("name", "dataset"), [(WORDS, "movie_reviews"), (SEQUENCES, "cmudict")])
def test_a_model_brings_the_data_of_its_task(name: str, dataset: str) -> None:
    assert compose(select({"model": name}))["dataset"]["name"] == dataset


def test_a_sweep_trains_own_models_beside_others(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("labelled.tsv").write_text(LABELLED)
    words = ["dataset=labelled", "dataset.train=labelled.tsv", "model.dropout=0,0.1", "max_steps=1", "device=cpu"]
    assert inside("train", "-m", f"model={WORDS},linear", *words) == 0
    out = capfd.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    told = {(name, dropout) for name in (WORDS, "linear") for dropout in ("0.0", "0.1")}
    assert told == {(name, dropout) for *_, name, dropout, _, _, state in (row for row in rows if len(row) > 6)
                    if state == "finished"}  # fmt: skip


@pytest.mark.slow
def test_several_processes_train_an_own_model(here: Path) -> None:
    Path("labelled.tsv").write_text(LABELLED)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "zoo", "train"]
    words = [f"model={WORDS}", "dataset=labelled", "dataset.train=labelled.tsv", "max_steps=2", "run_dir=run"]
    env = environment(PYTHONPATH=os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]))
    done = subprocess.run([sys.executable, *command, *words], env=env, capture_output=True, text=True, check=False,
                          timeout=PATIENCE)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(Path("run/results.json").read_text())["world_size"] == 2


@pytest.mark.slow
def test_the_example_trains_from_python_and_from_the_shell(tmp_path: Path) -> None:
    examples = ROOT / "examples"
    code = "import own_model; own_model.main(epochs=2)"
    done = subprocess.run([sys.executable, "-c", code], cwd=examples, env=environment(), capture_output=True, text=True,
                          check=False, timeout=PATIENCE)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0.55
    words = ["-m", "zoo", "train", "model=own_model:Weighted", "dataset.limit=500", "epochs=1"]
    words.append(f"run_dir={tmp_path / 'run'}")
    done = subprocess.run([sys.executable, *words], cwd=examples, env=environment(ZOO_ALLOW_CODE="own_model"),
                          capture_output=True, text=True, check=False, timeout=PATIENCE)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout

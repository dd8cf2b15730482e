"""`scripts/reproduce.py`: recipes compose, files are found, mistakes named, and no run is made twice."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import baselines
import pytest
import recipes
import reproduce
from commands import PATIENCE, environment, one_error
from recipes import RECIPES, Files, Member, Recipe, each_model, find_files, select, write_models
from rows import ENSEMBLE, read_rows
from training_jobs import digest, jobs_of

from zoo.cli.exits import guarded
from zoo.cli.overrides import config_of
from zoo.errors import ConfigError, DataError

ROOT = Path(__file__).parents[1]
LETTERS = ["ab", "ba", "aab", "bba", "abab", "baba", "a", "b", "aa", "bb", "abb", "baa"]


def run(*words: str) -> int:
    return guarded(lambda: reproduce.reproduce(list(words)))


def files_of(recipe: Recipe) -> Files:
    """Name files such as a recipe needs, which need not be there for its configs to compose."""
    files = Files(*([f"{part}.{side}" for side in recipe.sides or ("txt",)] for part in ("train", "dev", "test")))
    return files if recipe.train else Files([], [], [])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_every_member_of_a_recipe_composes_and_has_a_run_of_its_own(recipe: Recipe, tmp_path: Path) -> None:
    jobs = jobs_of(recipe, files_of(recipe), tmp_path)
    assert len({job.run.path for job in jobs}) == len(jobs) == len(each_model(recipe))
    assert not any(getattr(job.config.dataset, "test", "") for job in jobs)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_published_figures_are_of_the_recipes_as_they_are(recipe: Recipe, tmp_path: Path) -> None:
    jobs = jobs_of(recipe, files_of(recipe), tmp_path)
    made = {(job.member.name, str(job.seed)): digest(job.config) for job in jobs}
    rows = [row for row in read_rows(ROOT / f"results/{recipe.name}.csv") if row.task == recipe.task]
    assert rows
    for row in rows:
        if row.seed:
            known = made.get((row.model, row.seed))
            assert row.config == known, f"{recipe.title} {row.model} {row.seed} has changed: run scripts/reproduce.py"
        assert set(row.config.split()) <= set(made.values())
        if row.model == ENSEMBLE:
            assert row.members == write_models(each_model(recipe)), f"{recipe.title}: run scripts/reproduce.py"


def test_a_digest_is_of_options_and_not_of_seed_place_or_what_is_left_out() -> None:
    def of(*words: str) -> str:
        typed = dict(word.split("=", 1) for word in ("model=linear", "dataset=labelled", "dataset.train=a", *words))
        return digest(config_of(typed))

    assert of() == of("seed=7") == of("run_dir=x") == of("dataset.train=b") == of("dataset.swap=0")
    assert len({of(), of("epochs=3"), of("dataset.swap=0.1"), of("model.ngrams=3")}) == 4
    bleus = [digest(config_of({"dataset": "pairs", "dataset.train": "a", "dataset.bleu": bleu}))
             for bleu in ("auto", "none", "char")]  # fmt: skip
    assert len(set(bleus)) == 3


def test_a_member_replaces_what_the_recipe_has_chosen(tmp_path: Path) -> None:
    recipe = Recipe(name="x", experiment="korean_g2p", metrics=("accuracy",), train="a", overrides=("beam=3",),
                    members=(Member(name="one"), Member(name="two", overrides=("model=seq2seq", "beam=4"), seeds=(7,))),
                    seeds=(1, 2))  # fmt: skip
    jobs = jobs_of(recipe, Files(["a"], [], []), tmp_path)
    assert [(job.config.model.name, job.config.beam, job.config.seed) for job in jobs] == [
        ("transformer", 3, 1), ("transformer", 3, 2), ("seq2seq", 4, 7)]  # fmt: skip
    asked = jobs_of(recipe, Files(["a"], [], []), tmp_path, ["beam=6"], models=each_model(recipe, seeds=[5]))
    assert [(job.config.beam, job.config.seed) for job in asked] == [(6, 5), (6, 5)]
    assert not {job.run.path for job in jobs} & {job.run.path for job in asked}


def test_some_members_are_named_as_tables_name_them() -> None:
    (cmudict,) = select("cmudict")

    def named(only: str) -> list[str]:
        return [f"{member.name} {seed}" for member, seed in each_model(cmudict, only=only)]

    assert named("lstm") == ["lstm 1", "lstm 2", "lstm 3"]
    assert named("right to left 1, lstm 3 2") == ["lstm 2", "lstm 3", "right to left 1"]
    with pytest.raises(ConfigError, match=r"cmudict: unknown member 'lstn'; did you mean 'lstm'"):
        named("lstm 1, lstn 1")
    with pytest.raises(ConfigError, match="cmudict: right to left has the seeds 1, and not 2 3"):
        named("right to left 1 2 3")
    with pytest.raises(ConfigError, match="unknown member ''"):
        named("lstm 1,")


def test_a_name_means_one_recipe_all_of_its_tasks_or_everything() -> None:
    assert [recipe.task for recipe in select("sigmorphon2020")] == list(recipes.LANGUAGES)
    assert [recipe.task for recipe in select("sigmorphon2020/kor")] == ["kor"]
    assert select("all") == list(RECIPES)
    with pytest.raises(ConfigError, match="unknown recipe 'trec'; did you mean 'trec6'"):
        select("trec")


def test_files_are_found_under_their_natural_names_and_a_missing_one_is_named(tmp_path: Path) -> None:
    for name in ("sst/binary_train.tsv", "sst/binary_dev.tsv", "sst/fine_test.tsv", "multi30k/tok/val.lc.norm.tok.en",
                 "multi30k/tok/train.lc.norm.tok.en", "multi30k/tok/train.lc.norm.tok.de",
                 "multi30k/tok/val.lc.norm.tok.de", "multi30k/tok/test.lc.norm.tok.en"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a\tb\n")
    (sst,), (multi30k,), (trec6,) = map(select, ("sst2", "multi30k", "trec6"))
    assert find_files(sst, tmp_path).splits == ["dev"]
    assert find_files(multi30k, tmp_path).test == []  # one of two sides is not enough
    (tmp_path / "sst/binary_test.tsv").touch()
    (tmp_path / "multi30k/tok/test.lc.norm.tok.de").touch()
    assert find_files(sst, tmp_path).splits == ["dev", "test"]
    for name in ("test.en", "test_2016_flickr.en", "test_2016_flickr.de"):
        (tmp_path / "multi30k/tok" / name).touch()
    assert [Path(path).name for path in find_files(multi30k, tmp_path).test] == [
        "test.lc.norm.tok.en", "test.lc.norm.tok.de"]  # fmt: skip
    with pytest.raises(DataError, match=r"trec6/train\.tsv: no such file; trec6 needs it"):
        find_files(trec6, tmp_path)
    (tmp_path / "trec6").mkdir()
    for name in ("train.tsv", ".test.tsv.swp", "test.md"):
        (tmp_path / "trec6" / name).touch()
    assert find_files(trec6, tmp_path).test == []
    for name in ("test_coarse.tsv", "test_fine.tsv"):
        (tmp_path / "trec6" / name).touch()
    with pytest.raises(DataError, match=r"trec6/test\*: may be test_coarse\.tsv and test_fine\.tsv; leave one"):
        find_files(trec6, tmp_path)
    (tmp_path / "trec6/test.tsv").touch()
    assert [Path(path).name for path in find_files(trec6, tmp_path).test] == ["test.tsv"]
    (tmp_path / "multi30k/tok/train.lc.norm.tok.de").unlink()
    with pytest.raises(DataError, match=r"/train\.lc\.norm\.tok\.en: no such file"):
        find_files(multi30k, tmp_path)


@pytest.mark.parametrize(("words", "code", "message"), [
    (["trec6"], 2, "trec6 needs --data DIR"),
    (["nothing"], 2, "unknown recipe 'nothing'"),
    ([], 2, "name a recipe"),
    (["trec6", "--seed", "1"], 2, "unrecognized arguments"),
    (["trec6", "--data", ".", "epochs=1"], 2, "epochs=1 changes the recipe; name another place"),
    (["trec6", "--data", "nowhere"], 3, "nowhere/trec6/train.tsv: no such file"),
    (["imdb", "--results", "r", "epoch=1"], 2, "did you mean 'epochs'"),
    (["imdb", "--results", "r", "seed=4", "epochs=1"], 2, "seed=4 is set for each run; use --seeds or --out"),
    (["imdb", "--seeds", "1"], 2, "--seeds 1 changes the recipe; name another place"),
    (["imdb", "--results", "r", "--seeds", "1", "2", "1"], 2, "--seeds 1 2 1 names a seed twice"),
    (["imdb", "--results", "r", "--seeds", "1", "--baselines"], 2, "--seeds has no effect"),
    (["imdb", "--members", "linear 1", "--baselines"], 2, "--members has no effect"),
    (["imdb", "--results", "r", "--seeds", "1", "--members", "linear 1"], 2, "--members names seeds as well"),
    (["imdb", "--members", "lstm 1"], 2, "imdb: unknown member 'lstm' (choices: linear, cnn)"),
    (["--tables", "--results", "r"], 2, "--tables is of the project's own results"),
    (["imdb", "--results", str(ROOT / "results"), "--seeds", "1"], 2, "--seeds 1 changes the recipe; name another"),
    (["imdb", "--results", "r", "++seed=4"], 2, "++seed=4 is set for each run"),
    (["imdb", "--results", __file__], 2, "is no directory; name another"),
    (["imdb", "--out", __file__], 2, "is no directory; name another"),
    (["--list", "--members", "linear"], 2, "name a recipe"),
    (["trec6", "--data", "a=b"], 3, "a=b/trec6/train.tsv: no such file"),
], ids=str)  # fmt: skip
def test_a_mistake_is_one_line_and_an_exit_code(words: list[str], code: int, message: str, here: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert run(*words) == code
    assert message in one_error(capsys.readouterr().err)
    assert not list(here.iterdir())


def test_the_list_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert listed == [recipe.title for recipe in RECIPES]


def write_data(folder: Path) -> None:
    """Write pairs and labels of the letters a and b."""
    folder.mkdir()
    pairs = [f"{word}\t{' '.join(word.upper())}\n" for word in LETTERS]
    (folder / "train.tsv").write_text("".join(pairs[:9]))
    (folder / "dev.tsv").write_text("".join(pairs[9:]))


TINY = ["max_steps=2", "epochs=1", "device=cpu", "precision=fp32", "batch_tokens=64"]


@pytest.mark.slow
def test_a_recipe_is_trained_once_and_scored_on_a_test_file_that_comes_later(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = Recipe(name="words", experiment="korean_g2p", metrics=recipes.RATES, train="train.tsv", dev="dev.tsv",
                    members=(Member(name="transformer", overrides=("model.d_model=16", "model.nhead=2")),
                             Member(name="lstm", overrides=("experiment=seq2seq_cmudict", "dataset=pairs",
                                                            "model.hidden_size=16"))),
                    seeds=(3,), test=("test.tsv",), baselines=(baselines.NEAREST,))  # fmt: skip
    monkeypatch.setattr(recipes, "RECIPES", (recipe,))
    write_data(here / "data")
    words = ["words", "--data", "data", "--results", "rows", *TINY]
    assert run(*words, "--members", "lstm") == 0
    assert {one.model for one in read_rows(here / "rows/words.csv")} == {"lstm"}
    capfd.readouterr()
    assert run(*words) == 0
    out, err = capfd.readouterr()
    assert err.count("finished before") == 1
    assert "only dev is scored: words" in err
    rows = read_rows(here / "rows/words.csv")
    named = ["baseline: nearest neighbor", "lstm", "transformer", ENSEMBLE]
    assert [one.model for one in rows] == [name for name in named for _ in recipes.RATES]
    assert out.count("\n") == 1 + len(rows)
    assert {one.split for one in rows} == {"dev"}
    assert rows[-1].members == "transformer 3, lstm 3"
    assert rows[-1].parameters == rows[2].parameters + rows[4].parameters
    runs = {path: path.stat().st_mtime_ns for path in here.glob("runs/reproduce/words/*/results.json")}
    assert len(runs) == 2
    assert all("torch" in one.hardware for one in rows if one.seed)

    (here / "data/test.tsv").write_text("abba\tA B B A\n")
    assert run(*words) == 0
    assert capfd.readouterr().err.count("finished before") == 2
    later = read_rows(here / "rows/words.csv")
    assert [one for one in later if one.split == "dev"] == rows
    assert len(later) == 2 * len(rows)
    assert {one.sources for one in later if one.split == "test"} == {1}
    assert {path: path.stat().st_mtime_ns for path in runs} == runs

    for name, content in (("reproduced.json", '{"hardware": "x"}'), ("results.json", '{"steps": 2}')):
        (next(iter(runs)).parent / name).write_text(content)
        assert run(*words) == 4
        assert name in capfd.readouterr().err
    assert read_rows(here / "rows/words.csv") == later


@pytest.mark.slow
def test_a_member_trained_by_itself_leaves_the_other_rows_and_a_recipe_those_of_its_own(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = (*TINY, "model.d_model=16", "model.nhead=2")
    recipe = Recipe(name="words", experiment="korean_g2p", metrics=recipes.RATES, train="train.tsv", dev="dev.tsv",
                    members=(Member(name="transformer", overrides=small),), seeds=(1, 2))  # fmt: skip
    monkeypatch.setattr(recipes, "RECIPES", (recipe,))
    write_data(here / "data")
    words = ["words", "--data", "data", "--results", "rows"]
    assert run(*words) == 0
    before = read_rows(here / "rows/words.csv")
    assert run(*words, "--members", "transformer 2") == 0
    assert read_rows(here / "rows/words.csv") == before
    monkeypatch.setattr(recipes, "RECIPES", (replace(recipe, seeds=(1,)),))
    assert run(*words) == 0
    first = [row for row in before if row.seed != "2" and row.model != ENSEMBLE]
    assert read_rows(here / "rows/words.csv") == first
    assert len(first) < len(before)


@pytest.mark.slow
def test_a_run_begun_with_other_options_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capfd: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    def recipe(dropout: float) -> Recipe:
        small = ("model.d_model=16", "model.nhead=2", f"model.dropout={dropout}")
        return Recipe(name="words", experiment="korean_g2p", metrics=recipes.RATES, train="train.tsv", dev="dev.tsv",
                      members=(Member(name="transformer", overrides=small),), seeds=(1,))  # fmt: skip

    write_data(here / "data")
    words = ["words", "--data", "data", "--results", "rows", *TINY]
    monkeypatch.setattr(recipes, "RECIPES", (recipe(0.1),))
    assert run(*words, "--baselines") == 0
    assert not (here / "runs").exists()
    assert run(*words) == 0
    capfd.readouterr()
    monkeypatch.setattr(recipes, "RECIPES", (recipe(0.2),))
    assert run(*words) == 2
    assert "was begun with other options (model.dropout was 0.1 and is 0.2); remove it" in one_error(
        capfd.readouterr().err.split("\n", 1)[1])  # fmt: skip
    assert run(*words, "--baselines") == 0
    monkeypatch.setattr(recipes, "RECIPES", (recipe(0.1),))
    (here / "data").rename(here / "moved")
    rows = (here / "rows/words.csv").read_bytes()
    assert run("words", "--data", "moved", *words[3:]) == 2
    assert "let the data lie there again, as by a link" in capfd.readouterr().err
    assert (here / "rows/words.csv").read_bytes() == rows


CHILD = """
import signal, sys, time
def end(number, frame):
    time.sleep(1)
    open("saved", "w").close()
    sys.exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("group", [True, False], ids=["group", "alone"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_training_saves_before_a_signal_ends_the_script(number: int, group: bool, here: Path) -> None:
    code = ("import sys; from training_jobs import run_to_end; from zoo.cli.exits import guarded\n"
            "sys.exit(guarded(lambda: run_to_end([sys.executable, '-c', sys.argv[1]])))")  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", code, CHILD], stderr=subprocess.PIPE, text=True,
                               start_new_session=True,
                               env=environment(PYTHONPATH=str(ROOT / "scripts")))  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    time.sleep(0.2)
    (os.killpg if group else os.kill)(process.pid, number)  # a terminal means the group
    assert process.wait(PATIENCE) == 128 + number
    process.stderr.close()
    assert (here / "saved").exists()

"""What the pages say is done: recipes are followed, commands run, code gives the output that is shown."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

import zoo.cli.tune
from zoo import cli
from zoo.cli import explore as explore_verb
from zoo.cli import runs
from zoo.cli import train as train_verb
from zoo.cli.overrides import hints, parse
from zoo.config import GROUPS, PERMISSION
from zoo.errors import ConfigError

ROOT = Path(__file__).parents[1]
PAGES = [path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
         if path.exists()]  # fmt: skip
TRAINERS = (["zoo-train"], ["zoo", "train"], ["python", "-m", "zoo", "train"])
OURS = ("zoo-train", "zoo", "python")
OTHERS = ("python3", ".", "pip", "make", "curl", "tensorboard", "printf", "cat", "gzip", "git", "cd", "head", "source",
          "export")  # fmt: skip
TOYS = ("dataset=copy", "dataset=reverse", "dataset=sort", "dataset=parity")
SMALL_TOY = ["dataset.train_size=64", "dataset.valid_size=8", "dataset.test_size=8"]
LISTINGS = ("models", "datasets", "--version", "--help")
QUICK = ["max_steps=2", "epochs=1", "valid_limit=8", "device=cpu"]


class Block(NamedTuple):
    """A fenced block of a page: its language, its text, its page and its first line there."""

    language: str
    text: str
    page: Path
    line: int

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return a page's fenced blocks, those of some languages alone if any are named."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(match[1], match[2], page, text.count("\n", 0, match.start()) + 1)
        for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]
    return [block for block in found if not languages or block.language in languages]


def place(block: Block) -> re.Match[str] | None:
    """Return file, manner and name where a block's first line says where its code goes."""
    first = block.text.partition("\n")[0]
    return re.fullmatch(r"# (\S+), (a new file|with the imports|above|in)(?: (\w+))?", first)


def put(block: Block, root: Path) -> None:
    """Do what the first line of a block says."""
    match, code = place(block), block.text.partition("\n")[2]
    assert match, f"{block}: the first line does not say where the code goes"
    path = root / match[1]
    assert path.exists() == (match[2] != "a new file"), f"{block}: {match[1]}"
    if match[2] == "a new file":
        path.write_text(code, encoding="utf-8")
        return
    lines = path.read_text(encoding="utf-8").split("\n")
    if match[2] == "with the imports":
        at = max(i for i, line in enumerate(lines) if line.startswith("from zoo.")) + 1
    else:
        at = next(i for i, line in enumerate(lines) if re.match(rf" *{match[3]}\b.*=.*[{{(]$", line))
    if match[2] == "above":
        code = f"{code}\n\n"
    if match[2] == "in":
        indent = " " * (len(lines[at]) - len(lines[at].lstrip()))
        code, at = textwrap.indent(code, indent + "    "), at + 1
    path.write_text("\n".join([*lines[:at], *code.removesuffix("\n").split("\n"), *lines[at:]]), encoding="utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the sources in which every recipe of CONTRIBUTING.md has been followed."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("src", "configs"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (root / "src/zoo/configs").symlink_to(root / "configs")
    for block in blocks(ROOT / "CONTRIBUTING.md", "python", "yaml"):
        put(block, root)
    return root


def zoo_of(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m zoo` from the sources in `root`."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", "zoo", *words], cwd=root, env=environment, capture_output=True,
                          text=True, check=False)  # fmt: skip


@pytest.mark.slow
def test_what_contributing_adds_is_listed_learns_and_predicts(extended: Path) -> None:
    assert "plain " in zoo_of(extended, "models").stdout
    assert "roman " in zoo_of(extended, "datasets").stdout
    words = ["model=plain", "dataset=roman", "optimizer=adamax"]
    assert "model.hidden_size=128" in zoo_of(extended, "train", *words, "--help").stdout
    trained = zoo_of(extended, "train", *words, "run_dir=new", "epochs=4", "precision=fp32", "optimizer.lr=0.01")
    assert trained.returncode == 0, trained.stderr
    lines = (extended / "new/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [json.loads(line)["valid_loss"] for line in lines]
    assert losses[-1] < 0.8 * losses[0]
    results = json.loads((extended / "new/results.json").read_text(encoding="utf-8"))
    assert json.loads(zoo_of(extended, "evaluate", "new", "--json", "--bootstrap", "0").stdout) == results["test"]
    (extended / "numbers.txt").write_text("12\n7\n", encoding="utf-8")
    predicted = zoo_of(extended, "predict", "new", "numbers.txt", "--beam", "3")
    assert predicted.stdout.count("\n") == 2, predicted.stderr


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [
    ["model=plain", "dataset=copy"],
    ["model=transformer", "dataset=roman", "model.d_model=16"],
    ["model=seq2seq", "dataset=copy", "optimizer=adamax"],
], ids=" ".join)  # fmt: skip
def test_each_thing_that_contributing_adds_works_with_the_others(extended: Path, overrides: list[str]) -> None:
    trained = zoo_of(extended, "train", *overrides, "dataset.limit=64", *QUICK)
    assert trained.returncode == 0, trained.stderr


class Opened(Exception):
    """The run would be opened now: all arguments were understood."""


def commands(block: Block) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield each line of a shell block and the words of each command in it."""
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>&;")
        lexer.whitespace_split, lexer.commenters = True, "#"
        pipeline: list[list[str]] = [[]]
        for word in lexer:
            if set(word) <= set("|&;"):
                pipeline.append([])
            elif pipeline[-1] or not re.match(r"[A-Z_]+=", word):  # a variable of the environment comes first
                pipeline[-1].append(word)
        if line.strip() and any(pipeline):
            yield line, pipeline


def overrides_of(words: list[str]) -> list[str] | None:
    """Return what follows `zoo-train` or `zoo train`; None for another command."""
    return next((words[len(start) :] for start in TRAINERS if words[: len(start)] == start), None)


def kind_without_files(kind_of: Callable[[str], str]) -> Callable[[str], str]:
    """Return what tells tables and runs by their names alone, since a page has not made them yet."""
    return lambda name: "table" if name.endswith((".csv", ".npy")) else "run" if "/" in name else kind_of(name)


def launched(words: list[str]) -> list[str]:
    """Return the command that torchrun starts, as it would be typed alone; another command as it is."""
    return ["python", *words[words.index("-m") :]] if words[0] == "torchrun" else words


def understand(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line read a command, up to where it would train or open a run."""
    overrides = overrides_of(words)
    if overrides is not None:
        parted = train_verb.part(overrides)
        multirun = bool({"-m", "--multirun"} & set(parted.flags))
        parsed = [parse(word, multirun=multirun) for word in parted.overrides]
        resumed = [item.key == "resume" and item.texts[0] not in ("true", "false") for item in parsed]
        rest = [item for item, is_path in zip(parsed, resumed, strict=True) if not is_path]
        train_verb.checked(rest, complete=not set(parted.flags) - {"-m", "--multirun"})
        return
    verb = words[3:] if words[:3] == ["python", "-m", "zoo"] else words[1:]
    verb = verb[: verb.index(">")] if ">" in verb else verb
    if verb[0] in LISTINGS or "--show-space" in verb:
        assert cli.run(verb) == 0
        return
    monkeypatch.setattr(runs, "open_runs", lambda options: (_ for _ in ()).throw(Opened))
    monkeypatch.setattr(runs, "_has_file", lambda name: None)
    monkeypatch.setattr("zoo.cli.overrides.resumed", lambda name, typed: None)
    for opening in ("zoo.average.average", "zoo.compare.row_of", "zoo.cli.diagnose.diagnosis", "zoo.export.export",
                    "zoo.data.prepare.prepare", "zoo.data.prepared.Index.load"):  # fmt: skip
        monkeypatch.setattr(opening, lambda *names, **options: (_ for _ in ()).throw(Opened))
    monkeypatch.setattr("zoo.cli.explore.kind_of", kind_without_files(explore_verb.kind_of))
    monkeypatch.setattr("zoo.cli.explore._open", lambda *given: (_ for _ in ()).throw(Opened))
    space_file = zoo.cli.tune._space_file
    monkeypatch.setattr("zoo.cli.tune._space_file", lambda name, model: space_file(None, model))
    monkeypatch.setattr("zoo.cli.tune._search", lambda *words: (_ for _ in ()).throw(Opened))
    monkeypatch.setattr("zoo.serve.port.listening", lambda host, port: (_ for _ in ()).throw(Opened))
    monkeypatch.setattr("zoo.benchmark.measure", lambda config, **options: (_ for _ in ()).throw(Opened))
    with pytest.raises(Opened):
        cli.run(verb)


def write_modules(page: Path, folder: Path) -> list[str]:
    """Write the Python blocks of a page whose first line is the name of a file; return the names of the modules."""
    named = {block.text.partition("\n")[0].removeprefix("# "): block for block in blocks(page, "python")}
    files = {name: block.text for name, block in named.items() if re.fullmatch(r"\w+\.py", name)}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [name.removesuffix(".py") for name in files]


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Return what lets the commands of a page import the modules that it shows, from an empty directory."""

    def allow(page: Path) -> None:
        if modules := write_modules(page, tmp_path):
            monkeypatch.chdir(tmp_path)
            monkeypatch.syspath_prepend(tmp_path)
            monkeypatch.setenv(PERMISSION, ",".join(modules))

    return allow


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_is_understood(
    page: Path, monkeypatch: pytest.MonkeyPatch, own_code: Callable[[Path], None]
) -> None:
    own_code(page)
    for block in blocks(page, "sh", "bash"):
        for line, pipeline in commands(block):
            for words in map(launched, pipeline):
                assert words[0] in (*OURS, *OTHERS), f"{block}: {line}"
                if words[0] in OURS and (words[0] != "python" or words[1:3] == ["-m", "zoo"]):
                    understand(words, monkeypatch)


def test_the_check_of_commands_refuses_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (
        "zoo explore a.csv --reduce pcs",
        "zoo-train epoch=3",
        "zoo train model=transfomer",
        "zoo evaluate last --bean 3",
        "zoo predit last",
    ):
        with pytest.raises(ConfigError):
            understand(wrong.split(), monkeypatch)


def run_line(line: str, pipeline: list[list[str]]) -> None:
    """Run a line of a shell block here: trainings for a few steps, and none on the packaged data or of the Hub."""
    if not any(words[0] in OURS for words in pipeline):
        if pipeline[0][0] in ("printf", "gzip"):
            subprocess.run(["bash", "-c", line], check=True)
        return
    overrides = overrides_of(pipeline[-1])
    if "dataset=hub" in (overrides or ()):
        (path,) = [word for word in overrides or () if word.startswith("dataset.path=")]
        if "/" in path or find_spec("datasets") is None:
            return
    if overrides is None:
        given = subprocess.run(["bash", "-c", line.rpartition("|")[0]], check=True, capture_output=True).stdout
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
            assert cli.run(pipeline[-1][1:]) == 0, line
    elif any(word.startswith(("dataset.train=", "dataset.path=", "resume=")) or word in TOYS for word in overrides):
        typed = {word.partition("=")[0] for word in overrides}
        resumes = any(word.startswith("resume=") for word in overrides) and "run_dir" not in typed
        small = [] if resumes else [*QUICK, *(SMALL_TOY if typed_toy(overrides) else [])]
        extra = [word for word in small if word.partition("=")[0] not in typed]
        assert train_verb.train([*overrides, *extra]) == 0, line


def typed_toy(overrides: list[str]) -> bool:
    return bool(set(TOYS) & set(overrides))


def run_page(page: Path) -> None:
    """Run the Python blocks of a page, and the shell blocks, in order; what Python prints is the text block below.

    A block that begins with an import is a program of its own, others go on from the one above.
    """
    found = blocks(page)
    namespace: dict[str, object] = {}
    for block, below in zip(found, [*found[1:], None], strict=True):
        if block.language == "sh":
            for line, pipeline in commands(block):
                run_line(line, pipeline)
        if block.language == "python":
            namespace = {"__name__": "page"} if block.text.startswith("import") else namespace
            with redirect_stdout(io.StringIO()) as printed:
                exec(compile(block.text, str(block), "exec"), namespace)
            assert printed.getvalue() == (below.text if below and below.language == "text" else ""), block


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["first-run", "data", "large-data", "loop", "evaluation", "diagnose", "exploring", "tensorboard"],
)
def test_a_page_runs_as_written(name: str, here: Path) -> None:
    run_page(ROOT / "docs" / f"{name}.md")


@pytest.mark.slow
def test_the_page_on_own_models_runs_as_written(here: Path, own_code: Callable[[Path], None]) -> None:
    own_code(ROOT / "docs" / "own-model.md")
    run_page(ROOT / "docs" / "own-model.md")


@pytest.mark.parametrize("name", ["relu", "models", "interface"])
def test_the_code_of_a_page_gives_the_output_that_is_shown(name: str, here: Path) -> None:
    run_page(ROOT / "docs" / f"{name}.md")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            path, _, anchor = target.partition("#")
            linked = page.parent / path if path else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_key_in_the_text_exists(page: Path) -> None:
    known = {f"{group}.{key}" for group, classes in GROUPS.items() for cls in classes.values() for key in hints(cls)}
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for key in re.findall(r"`((?:model|dataset|optimizer|scheduler)\.[a-z_]+)\b(?!\()", text):
        assert key in known, key

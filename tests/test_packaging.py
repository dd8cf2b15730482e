"""What is installed: every package, the YAML files, pinned versions, and a wheel that runs elsewhere."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import zoo

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_is_listed_and_no_other() -> None:
    source = ROOT / "src"
    found = {".".join(path.parent.relative_to(source).parts) for path in (source / "zoo").rglob("__init__.py")}
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(found | {"zoo.configs"})


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "src" / "zoo").rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_constraints_pin_every_requirement_exactly_and_name_no_place() -> None:
    extras = PROJECT["project"]["optional-dependencies"]["dev"]
    wanted = {canonical(re.split(r"[<>=!\[ ;]", line)[0]) for line in [*PROJECT["project"]["dependencies"], *extras]}
    assert wanted <= {canonical(name) for name in PINS}
    assert PINS["torch"] == "2.13.0"
    assert all(re.fullmatch(r"[\w.]+", version) for version in PINS.values())


def test_the_python_that_runs_the_tests_is_one_that_is_allowed() -> None:
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert (3, 11) <= sys.version_info < (3, 14)


def test_the_extra_all_has_every_extra_that_people_use() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    used = sorted(set(extras) - {"all", "dev", "benchmark"})
    (line,) = extras["all"]
    assert sorted(re.fullmatch(r"zoo\[(.*)\]", line)[1].split(",")) == used  # type: ignore[index]


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_module_compiles_on_each_python_that_is_at_hand(version: str, tmp_path: Path) -> None:
    python = f"python{version}"
    if shutil.which(python) is None or subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"no {python} is installed")
    command = [
        python,
        "-W",
        "error",
        "-m",
        "compileall",
        "-q",
        "-f",
        *(str(ROOT / part) for part in ("src", "scripts")),
    ]
    done = subprocess.run(command, env={**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_citation_names_this_version_and_the_action_runs_the_checks_on_every_python() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert (citation["version"], citation["license"]) == (zoo.__version__, PROJECT["project"]["license"])
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert job["steps"][-1] == {"run": "bash .ci/run"}


def test_both_commands_are_declared() -> None:
    assert PROJECT["project"]["scripts"] == {"zoo": "zoo.cli:main", "zoo-train": "zoo.cli:train_main"}


def test_make_passes_over_a_python_that_is_there_and_does_not_run(tmp_path: Path) -> None:
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\necho 'python3.13: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text(encoding="utf-8"))
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    done = subprocess.run(
        ["make", "setup", f"PYTHON={shim}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "is a working Python 3.11, 3.12 or 3.13" in done.stderr
    assert "make PYTHON=/path/to/python3.13" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist from a copy of the tree, so that no build folder can help it, and the wheel from the sdist."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    for part in ("src", "configs", "pyproject.toml", "LICENSE", "README.md"):
        for path in [ROOT / part, *(ROOT / part).rglob("*")]:
            if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path):
                target = copy / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(folder.glob("*.tar.gz"))) == 1
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a new environment that sees this one's libraries, without its editable zoo."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    purelib = next((folder / "venv").glob("lib/python*/site-packages"))
    # The .pth files of a folder that a .pth file adds are not read, so the editable install there stays out.
    (purelib / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [str(folder / "venv" / "bin" / words[0]), *words[1:]]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_every_yaml(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    modules = {str(path.relative_to(source)) for path in (source / "zoo").rglob("*.py")}
    configs = {f"zoo/configs/{path.relative_to(ROOT / 'configs')}" for path in (ROOT / "configs").rglob("*.yaml")}
    assert modules | configs | {"zoo/py.typed", "zoo/serve/page/index.html"} <= names
    assert not [name for name in names if name.startswith(("tests", "scripts", "configs"))]


@pytest.mark.slow
def test_the_wheel_runs_from_another_directory(elsewhere: Path) -> None:
    where = run(elsewhere, "python", "-c", "import zoo, zoo.configs; print(zoo.__file__, *zoo.configs.__path__)")
    assert all(str(elsewhere) in path for path in where.stdout.split()), where
    for words in (["zoo-train", "--help"], ["zoo", "models"], ["zoo", "datasets"], ["zoo", "--version"]):
        done = run(elsewhere, *words)
        assert (done.returncode, done.stderr) == (0, "")
    assert importlib.metadata.version("zoo") in done.stdout


@pytest.mark.slow
def test_the_wheel_trains_elsewhere(elsewhere: Path) -> None:
    options = ["dataset=copy", "dataset.train_size=64", "dataset.valid_size=4", "dataset.test_size=4", "max_steps=5"]
    done = run(elsewhere, "zoo-train", *options, "model.d_model=16", "model.dim_feedforward=16", "run_dir=here")
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "here" / "results.json").is_file()
    assert sorted(path.name for path in elsewhere.iterdir()) == ["here", "venv"]

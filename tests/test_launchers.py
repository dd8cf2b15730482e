"""Sweeps whose jobs a launcher of Hydra's hands to other processes, as on a cluster."""

import csv
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from commands import TOY, zoo

pytest.importorskip("submitit", reason="hydra-submitit-launcher is not installed")
pytestmark = pytest.mark.slow

SWEEP = ["train", "-m", *TOY, "seed=1,2", "optimizer.lr=0.001,1e9", "clip=0", "hydra.sweep.dir=sweep"]
KEPT = (
    "number",
    "overrides",
    "status",
    "rank",
    "exit_code",
    "metric",
    "valid",
    "test",
    "best_epoch",
    "epochs",
    "run_dir",
)


def table(here: Path) -> list[dict[str, str]]:
    with (here / "sweep" / "sweep.csv").open(newline="") as file:
        return [{key: row[key] for key in KEPT} for row in csv.DictReader(file)]


def test_jobs_in_other_processes_make_the_same_table_and_go_on(tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    for here, more in ((near, []), (far, ["hydra/launcher=submitit_local"])):
        here.mkdir()
        done = zoo(*SWEEP, *more, cwd=here)
        assert done.returncode == 5, done.stderr
        assert "error: 2 of 4 jobs failed" in done.stderr
    assert "the jobs run in other processes; what they say lies in sweep/.submitit" in done.stderr
    assert table(far) == table(near)
    assert [row["exit_code"] for row in table(far)] == ["0", "5", "0", "5"]
    assert json.loads((far / "sweep" / "sweep.json").read_text())["finished"]
    assert not (far / "sweep" / ".rows").exists()
    assert zoo(*SWEEP, "hydra/launcher=submitit_local", cwd=far).returncode == 5
    assert [row["status"] for row in table(far)] == ["finished before", "failed"] * 2


def test_what_keeps_a_job_from_the_table_ends_the_sweep_with_its_own_code(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / ".rows").write_text("of mine")
    done = zoo(*SWEEP[:-3], "seed=1", "hydra.sweep.dir=sweep", "hydra/launcher=submitit_local", cwd=tmp_path)
    assert done.returncode == 6, done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_examples_for_slurm_can_be_read(tmp_path: Path) -> None:
    examples = Path(__file__).parents[1] / "examples" / "slurm"
    assert subprocess.run(["bash", "-n", str(examples / "train.sbatch")], check=False).returncode == 0
    words = ["--config-dir", str(examples / "conf"), "hydra/launcher=cluster", "--cfg", "hydra"]
    done = zoo("train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    launcher = yaml.safe_load(done.stdout)["hydra"]["launcher"]
    assert launcher["_target_"].endswith("SlurmLauncher")
    assert (launcher["partition"], launcher["timeout_min"], launcher["max_num_timeout"]) == ("gpu", 240, 3)


def test_a_file_of_ones_own_tells_the_launcher_what_a_job_needs(tmp_path: Path) -> None:
    (tmp_path / "conf" / "hydra" / "launcher").mkdir(parents=True)
    (tmp_path / "conf" / "hydra" / "launcher" / "mine.yaml").write_text("defaults: [submitit_local]\ntimeout_min: 5\n")
    words = [*SWEEP[:-3], "seed=1", "hydra.sweep.dir=sweep"]
    done = zoo(*words, "--config-dir", "conf", "hydra/launcher=mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["status"] for row in table(tmp_path)] == ["finished"]

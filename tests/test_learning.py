"""What each family has to learn, through the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("task", ["copy", "reverse"])
@pytest.mark.parametrize("model", ["seq2seq", "transformer"])
def test_each_sequence_family_learns_to_copy_and_to_reverse(model: str, task: str, tmp_path: Path) -> None:
    options = [f"model={model}", f"dataset={task}", "dataset.max_length=12", "run_dir=run", "device=cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "zoo", "train", *options], cwd=tmp_path, env=environment, check=True)
    test = json.loads((tmp_path / "run" / "results.json").read_text())["test"]
    assert test["sequence_error_rate"] <= 0.01

"""Each family on a GPU; skipped where there is none."""

import json
from pathlib import Path

import pytest
import torch

from zoo.cli import run
from zoo.experiment import open_run
from zoo.experiment.machine import prepare_libraries
from zoo.nn.attention import dot_product_attention

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]

FAMILIES = {
    "transformer": ["model=transformer", "dataset=copy", "epochs=6"],
    "seq2seq": ["model=seq2seq", "dataset=copy", "epochs=6"],
    "classifier": ["model=classifier", "dataset=movie_reviews", "epochs=4"],
    "linear": ["model=linear", "dataset=movie_reviews", "epochs=4"],
    "classifier_functional": ["model=classifier_functional", "dataset=movie_reviews", "epochs=4"],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_reaches_what_a_cpu_reaches(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = {}
    for device in ("cpu", "cuda"):
        assert run(["train", *FAMILIES[family], f"device={device}", f"run_dir={device}"]) == 0
        test = json.loads(Path(device, "results.json").read_text())["test"]
        values[device] = test["accuracy"] if "accuracy" in test else 1 - test["sequence_error_rate"]
    assert values["cuda"] == pytest.approx(values["cpu"], abs=0.03)


def test_what_a_gpu_trained_a_cpu_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", "dataset=copy", "epochs=1", "device=cuda", "run_dir=run"]) == 0
    on_cpu, on_gpu = (open_run("run", device=device).evaluate("valid")["loss"] for device in ("cpu", "cuda"))
    assert on_cpu == pytest.approx(on_gpu, rel=0.02)


def test_a_run_on_a_gpu_resumes_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["train", "dataset=copy", "epochs=1", "device=cuda", "run_dir=run"]
    assert run([*options, "max_steps=10"]) == 0
    assert run(["train", "resume=run", "max_steps=0"]) == 0
    assert json.loads(Path("run", "results.json").read_text())["steps"] > 10


@pytest.mark.parametrize("family", FAMILIES)
def test_a_range_test_runs_on_a_gpu(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", *FAMILIES[family], "lr_find=true", "device=cuda", "run_dir=run"]) == 0
    assert 1e-5 < json.loads(Path("run", "lr_find.json").read_text())["suggested"] < 10


def test_attention_compiles_nothing_for_a_new_shape() -> None:
    prepare_libraries()
    with torch.profiler.profile() as profile:
        for time in range(20, 24):
            heads = torch.randn(8, 4, time, 32, device="cuda", dtype=torch.bfloat16)
            bias = torch.zeros(8, 1, 1, time, device="cuda", dtype=torch.bfloat16)
            dot_product_attention(heads, heads, heads, bias)
    names = [event.key for event in profile.key_averages()]
    assert any("attention" in name for name in names)
    assert not any("cudnn_attention" in name for name in names)

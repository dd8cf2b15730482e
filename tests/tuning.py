"""Searches of a moment: what they train on, and what they have written."""

import csv
from pathlib import Path

TOY = ["model=classifier", "dataset=parity", "dataset.train_size=64", "dataset.valid_size=32", "dataset.test_size=16",
       "dataset.max_length=8", "dataset.symbols=2", "model.hidden_size=8", "model.embedding_size=8", "model.dropout=0",
       "model.word_dropout=0", "epochs=4", "label_smoothing=0", "device=cpu", "precision=fp32"]  # fmt: skip
RATES = "optimizer.lr: [0.00001, 0.03]\n"
SCRIPTED = ["tune", *[word for word in TOY if not word.startswith("model.dropout")], "--space", "space.yaml", "--out",
            "found"]  # fmt: skip


def table(path: Path = Path("found/tune.csv")) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))

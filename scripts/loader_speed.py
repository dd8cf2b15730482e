"""How fast a dataset's training batches come, without a model, and in how much memory: docs/large-data.md.

python scripts/loader_speed.py dataset=pairs dataset.train=pairs.tsv
python scripts/loader_speed.py dataset=prepared dataset.path=pairs
"""

import argparse
import resource
import time
from typing import Any

from zoo.cli import overrides as checking
from zoo.data import build_data
from zoo.experiment.learner import load


def megabytes() -> float:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Cut the batches of some epochs, and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE")
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    config: Any = checking.config_of({item.key: item.texts[0] for item in map(checking.parse, options.overrides)})
    before, begun = megabytes(), time.perf_counter()
    data = build_data(config)
    print(f"opened in {time.perf_counter() - begun:.1f} s; {megabytes() - before:,.0f} MB")
    loader = load(config, data.train, shuffle=True)
    for epoch in range(1, options.epochs + 1):
        begun = time.perf_counter()
        loader.set_epoch(epoch)
        count, counted = len(loader), time.perf_counter()
        tokens = sum(batch.tokens + int(batch.inputs[1].sum()) for batch in loader)
        print(f"epoch {epoch}: {count:,} batches known after {counted - begun:.1f} s, {tokens:,} tokens in "
              f"{time.perf_counter() - begun:.1f} s: {tokens / (time.perf_counter() - begun):,.0f} tokens/s; "
              f"{megabytes() - before:,.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()

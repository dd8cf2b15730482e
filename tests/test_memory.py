"""The memory of a preparation, and of batches from it, does not grow with the data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment

PROGRAM = """
import json, resource, sys
from pathlib import Path
from zoo.config import PairsConfig
from zoo.data.prepare import prepare
from zoo.data.prepared import Index, ShardedCorpus
from zoo.data.windows import WindowLoader

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

index = prepare(PairsConfig(train=sys.argv[1]), Path(sys.argv[2])).index
prepared = most()
loader = WindowLoader(ShardedCorpus(index, longest=512), batch_tokens=4096, seed=1, window=2_000_000)
rows = sum(len(batch.src) for batch in loader)
print(json.dumps([prepared, most(), rows == index.rows, len(loader.windows())]))
"""


def megabytes(directory: Path, rows: int) -> tuple[int, int, int]:
    """Return the most memory held after a preparation and after an epoch, and the windows of the latter."""
    path = directory / f"{rows}.tsv"
    script = Path(__file__).parents[1] / "scripts" / "make_pairs.py"
    subprocess.run([sys.executable, str(script), str(path), "--rows", str(rows)], check=True)
    words = [sys.executable, "-c", PROGRAM, str(path), str(directory / str(rows))]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=True)
    prepared, read, whole, windows = json.loads(done.stdout)
    assert whole
    return prepared, read, windows


@pytest.mark.slow
def test_eight_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    small, large = megabytes(tmp_path, 125_000), megabytes(tmp_path, 1_000_000)
    assert large[0] < small[0] + 60
    assert large[1] < small[1] + 60
    assert large[2] > 8

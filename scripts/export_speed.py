"""How fast exports of g2p-en decode greedily, in words per second, beside the zoo; run `zoo export` for each first.

OMP_NUM_THREADS=1 python scripts/export_speed.py
"""

import time
from collections.abc import Callable
from pathlib import Path

from zoo.experiment import open_run
from zoo.export import proof
from zoo.export.formats import FORMATS, OPENERS


def speed(decode: Callable[[], object], words: int) -> float:
    """Return the words per second of a second call."""
    decode()
    start = time.perf_counter()
    decode()
    return words / (time.perf_counter() - start)


def main() -> None:
    """Print a line for the zoo and for each export."""
    run = open_run("g2p-en", device="cpu")
    texts = proof.read_texts(run)
    count, longest = len(texts.sources), run.coding.max_output
    print(f"{'zoo':24} {speed(lambda: proof.own_outputs(run, texts.sources), count):6.0f}")
    for name, kind in (("g2p-en-ctranslate2", "float32"), ("g2p-en-ctranslate2-int8", "int8")):
        translator = proof.open_translator(Path(name), kind)
        print(f"{name:24} {speed(lambda it=translator: proof.translate(run, it, texts.sources), count):6.0f}")
    for kind in ("torch", "onnx"):
        folder, suffix = Path(f"g2p-en-{kind}"), FORMATS[kind].suffix
        encoder, decoder = (OPENERS[kind](folder / f"{part}{suffix}") for part in ("encoder", "decoder"))

        def decode(encode=encoder, step=decoder) -> None:
            for src, lengths in proof.source_batches(run, texts):
                proof.greedy_over_prefixes(step, encode(src, lengths), lengths, longest)

        print(f"{folder.name:24} {speed(decode, count):6.0f}")


if __name__ == "__main__":
    main()

"""How fast the exports of a run of transformer decode greedily, in texts per second, beside the zoo.

    OMP_NUM_THREADS=1 python scripts/export_speed.py RUN

`zoo export RUN` in all formats, also in int8, comes first.
"""

import argparse
import time
from collections.abc import Callable

from zoo.experiment import open_run
from zoo.experiment.directory import run_path
from zoo.export import default_directory, proof
from zoo.export.formats import FORMATS, OPENERS


def speed(decode: Callable[[], object], texts: int) -> float:
    """Return the texts per second of a second call."""
    decode()
    start = time.perf_counter()
    decode()
    return texts / (time.perf_counter() - start)


def main() -> None:
    """Print a line for the zoo and for each export."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", metavar="RUN")
    name = parser.parse_args().run
    path = run_path(name)
    run = open_run(path, device="cpu")
    texts = proof.read_texts(run)
    count, longest = len(texts.sources), run.coding.max_output
    print(f"{'zoo':24} {speed(lambda: proof.own_outputs(run, texts.sources), count):6.0f}")
    for quantize, precision in (("", "float32"), ("int8", "int8")):
        translator = proof.open_translator(default_directory(name, path, "ctranslate2", quantize), precision)
        reached = speed(lambda it=translator: proof.translate(run, it, texts.sources), count)
        print(f"{f'ctranslate2 {quantize}':24} {reached:6.0f}")
    for kind in ("torch", "onnx"):
        folder = default_directory(name, path, kind, "")
        encoder, decoder = (OPENERS[kind](folder / f"{part}{FORMATS[kind].suffix}") for part in ("encoder", "decoder"))

        def decode(encode=encoder, step=decoder) -> None:
            for src, lengths in proof.source_batches(run, texts):
                proof.greedy_over_prefixes(step, encode(src, lengths), lengths, longest)

        print(f"{kind:24} {speed(decode, count):6.0f}")


if __name__ == "__main__":
    main()

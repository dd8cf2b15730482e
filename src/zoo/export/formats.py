"""Writing the parts of a model in a format, and reading them back to be run."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.experiment import Run
from zoo.export.files import tokens_of
from zoo.export.programs import Part, dynamic_shapes, trace
from zoo.export.translator import check_fits, save_translator
from zoo.models.transformer import Transformer
from zoo.storage import write_durably

Program = Callable[..., tuple[Tensor, ...]]
"""An exported part: tensors in, tensors out."""
TRANSLATOR = "model.bin"


class Format(NamedTuple):
    """A format: its packages, the ends of its files' names, what it quantizes to, and how it is written and read."""

    packages: tuple[str, ...]
    suffix: str
    quantizes: tuple[str, ...] = ()


FORMATS = {
    "torch": Format(("torch",), ".pt2"),
    "onnx": Format(("onnx", "onnxscript", "onnxruntime"), ".onnx"),
    "ctranslate2": Format(("ctranslate2",), "", ("int8",)),
}


def check_choice(run: Run, kind: str, quantize: str) -> None:
    """Raise ConfigError where a format is not installed, or cannot hold a run's model so."""
    chosen = FORMATS[kind]
    missing = [name for name in chosen.packages if find_spec(name) is None]
    if missing:
        raise ConfigError(f"--format {kind} needs {', '.join(missing)}: pip install 'zoo[export]'")
    if quantize and quantize not in chosen.quantizes:
        able = ", ".join(name for name, one in FORMATS.items() if quantize in one.quantizes)
        raise ConfigError(f"--quantize {quantize} goes with --format {able}, not with {kind}")
    if kind == "ctranslate2":
        check_fits(run.model)


def installed(kind: str) -> dict[str, str]:
    """Return the versions of the packages that write a format."""
    return {name: version(name) for name in ("torch", *FORMATS[kind].packages)}


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what exporters warn of to themselves: what they make is compared with the model."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def write_torch(part: Part, path: Path) -> None:
    """Write a part as a program of torch.export."""
    content = io.BytesIO()  # torch's own writer of files ends the process where the disk is full
    with quietly():
        torch.export.save(trace(part), content)
    write_durably(path, content.getvalue())


def write_onnx(part: Part, path: Path) -> None:
    """Write a part as an ONNX graph, weights included."""
    with quietly():
        made = torch.onnx.export(
            trace(part),
            input_names=[value.name for value in part.inputs],
            output_names=[value.name for value in part.outputs],
            dynamic_shapes=dynamic_shapes(part),
            dynamo=True,
            verbose=False,
        )
        assert made is not None
        made.save(path)


WRITERS = {"torch": write_torch, "onnx": write_onnx}


def write_programs(parts: list[Part], directory: Path, kind: str) -> None:
    """Write each part to a file of its name."""
    for part in parts:
        WRITERS[kind](part, directory / f"{part.name}{FORMATS[kind].suffix}")


def write_translator(run: Run, directory: Path, quantize: str) -> None:
    """Write a Transformer as CTranslate2 reads it, with the tokens of the run."""
    model = run.model
    assert isinstance(model, Transformer)
    src, tgt = (tokens_of(run.coding, side) for side in ("src", "tgt"))
    longest = run.config.model.max_length + 1  # with the end symbol
    save_translator(model, directory, src_tokens=src, tgt_tokens=tgt, longest=longest, quantize=quantize)


def open_torch(path: Path) -> Program:
    """Load a program of torch.export."""
    with quietly():
        module = torch.export.load(path).module()

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            found = module(*inputs)
        return found if isinstance(found, tuple) else (found,)

    return run


def open_onnx(path: Path) -> Program:
    """Load an ONNX graph into onnxruntime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        given = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return tuple(torch.from_numpy(found) for found in session.run(None, given))

    return run


OPENERS = {"torch": open_torch, "onnx": open_onnx}

"""Models for other programs: written, loaded again and compared before anything is kept."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from zoo.errors import ConfigError, StorageError
from zoo.experiment import Run, open_run
from zoo.experiment.directory import run_path
from zoo.export.files import DESCRIPTION, describe, is_export, save_vocabularies, to_json
from zoo.export.formats import FORMATS, check_choice, installed, write_programs, write_translator
from zoo.export.programs import parts_of
from zoo.export.proof import RATED, UnequalError, error_rates, prove, read_texts
from zoo.pretrained import pretrained_path
from zoo.storage import sync_directory, sync_tree, write_durably

__all__ = ["FORMATS", "Exported", "UnequalError", "export"]


class Exported(NamedTuple):
    """Where an export lies, of which run, how large it is in bytes, and the figures of its proof."""

    directory: Path
    run: Path
    model: str
    size: int
    proof: dict[str, Any]


def export(name: str | Path, kind: str, *, out: str | Path | None = None, quantize: str = "") -> Exported:
    """Write a run's model in a format (torch, onnx, ctranslate2) to a directory that needs nothing of this package.

    The export is loaded again and compared with the model on the run's validation part. Raises ConfigError where the
    format cannot hold the model or `out` holds anything else than an export, UnequalError where the two differ.
    """
    if kind not in FORMATS:
        raise ConfigError(f"unknown format '{kind}' (choices: {', '.join(FORMATS)})")
    path = run_path(str(name))
    target = Path(out).expanduser() if out else default_directory(str(name), path, kind, quantize)
    check_target(target)
    run = open_run(path, device="cpu")
    check_choice(run, kind, quantize)
    with replaced(target) as directory:
        proof = _write(run, directory, kind, quantize)
        size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    return Exported(target, path, run.config.model.name, size, proof)


def default_directory(name: str, path: Path, kind: str, quantize: str) -> Path:
    """Return RUN-FORMAT beside a run; that of an installed model lies here."""
    ending = f"-{kind}-{quantize}" if quantize else f"-{kind}"
    here = pretrained_path(name) == path
    return Path(f"{path.name}{ending}") if here else path.absolute().with_name(f"{path.absolute().name}{ending}")


def check_target(target: Path) -> None:
    """Raise ConfigError where something else than an export would be overwritten."""
    if not os.path.lexists(target) or is_export(target):
        return
    if not target.is_dir() or any(target.iterdir()):
        raise ConfigError(f"{target} is there and no export; name another directory with --out")


def _write(run: Run, directory: Path, kind: str, quantize: str) -> dict[str, Any]:
    """Write an export to an empty directory and prove it; return the figures."""
    parts = [] if kind == "ctranslate2" else parts_of(run)
    texts = read_texts(run)
    if kind == "ctranslate2":
        write_translator(run, directory, "")
    else:
        write_programs(parts, directory, kind)
    proof = prove(run, parts, directory, kind, texts)
    if quantize:  # what was proved is the conversion; what is quantized has other figures
        write_translator(run, directory, quantize)
        rated = read_texts(run, RATED) if texts.references else texts
        proof["rated_texts"], proof["error_rates"] = len(rated.sources), error_rates(run, directory, rated, quantize)
    save_vocabularies(run, directory)
    about = describe(run, parts, kind=kind, suffix=FORMATS[kind].suffix, quantize=quantize, packages=installed(kind),
                     proof=proof)  # fmt: skip
    write_durably(directory / DESCRIPTION, to_json(about))
    return proof


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """Give a new directory beside a target, which takes its place at the end; after a failure nothing of it is left."""
    made = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    old = target.with_name(f".{target.name}.{os.getpid()}.old.tmp")
    try:
        made.mkdir(parents=True)
        yield made
        sync_tree(made)
        if target.exists():
            os.replace(target, old)
        os.replace(made, target)
        sync_directory(target.parent)
        _sweep(target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror or error}); choose another --out") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _sweep(target: Path) -> None:
    """Delete what exports to a target left beside it whose processes were killed."""
    left = re.compile(rf"\.{re.escape(target.name)}\.(\d+)(\.old)?\.tmp")
    for path in target.parent.iterdir():
        if (found := left.fullmatch(path.name)) and not _is_alive(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # where signal 0 is none
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True

"""Models of the user's own, `model=module:Class`: imported only where the environment says that they may be.

Importing a module runs it, and a saved config can name any. So the permission stands in the environment, where nothing
that lies in a run's directory can put it.
"""

import dataclasses
import inspect
import os
import re
import sys
import traceback
import types
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from zoo.config.datasets import Task
from zoo.config.field import option
from zoo.config.models import dropout, max_length
from zoo.errors import CodeError, unknown

PERMISSION = "ZOO_ALLOW_CODE"
"""What the environment allows to import: the names of modules, with commas between them, or 1 for any."""
NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
PLAIN = (bool, int, float, str)
INPUTS = {2: Task.labelled, 3: Task.pairs}
"""How many tensors `forward` takes: (text, lengths), or (src, src_lengths, tgt_in)."""
LONGEST = 512


class OwnModel(NamedTuple):
    """A class of the user's: what it learns, the dataclass of its options, and which of these it is given."""

    cls: Any
    task: Task
    options: type
    given: list[str]
    takes_shared: bool  # whether it wants to know of one vocabulary for both sides


def is_own(name: str) -> bool:
    """Whether a model's name means a class of the user's own."""
    return ":" in name


def own_model(name: str) -> OwnModel:
    """Import the class that `module:Class` names; CodeError where that is not allowed, or it is no model."""
    if not NAME.fullmatch(name) or ".py:" in name:
        meant = re.sub(r"\.py:", ":", name).replace(os.sep, ".").strip(".")
        example = meant if NAME.fullmatch(meant) else "my_model:MyModel"
        raise CodeError(f"model={name} is no name of a class; write model=module:Class, as in model={example}")
    module = name.partition(":")[0]
    if not _is_allowed(module):
        raise CodeError(
            f"model={name} is code that does not belong to the zoo, and importing it runs it; if you trust it, set "
            f"{PERMISSION}={module} in the environment"
        )
    return _described(name)


def _is_allowed(module: str) -> bool:
    names = [one.strip() for one in os.environ.get(PERMISSION, "").split(",")]
    return "1" in names or any(module == one or module.startswith(f"{one}.") for one in names if one)


@cache
def _described(name: str) -> OwnModel:
    cls = _class_of(name)
    task = _task_of(cls, name)
    sizes, chosen = _arguments(cls)
    if len(sizes) < 2:
        wanted = "vocab_size, num_classes" if task == Task.labelled else "src_vocab, tgt_vocab"
        raise CodeError(
            f"model={name}: its constructor must begin with sizes of the data: __init__(self, {wanted}, ...)"
        )
    given = [one for one in chosen if one.name != "shared_vocabulary"]
    fields = _fields(cls, given, name)
    options = dataclasses.make_dataclass(cls.__name__, fields, kw_only=True, slots=True)
    options.__doc__ = inspect.getdoc(cls)
    return OwnModel(cls, task, options, [one.name for one in given], len(given) < len(chosen))


def _arguments(cls: Any) -> tuple[list[inspect.Parameter], list[inspect.Parameter]]:
    """Return the two arguments of a constructor that are sizes, and those that are options."""
    parameters = inspect.signature(cls).parameters.values()
    named = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    sizes = [one for one in named if one.kind != one.KEYWORD_ONLY][:2]
    return sizes, named[len(sizes) :]


def _class_of(name: str) -> Any:
    from torch import nn

    module_name, _, class_name = name.partition(":")
    module = _imported(module_name, name)
    found = getattr(module, class_name, None)
    if found is None:
        known = [key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, nn.Module)]
        raise CodeError(f"model={name}: {unknown(f'class of {module_name}', class_name, known)}")
    if not (inspect.isclass(found) and issubclass(found, nn.Module)):
        raise CodeError(f"model={name}: {class_name} is no torch.nn.Module; name a class that is derived from it")
    return found


def _imported(module: str, name: str) -> types.ModuleType:
    """Import a module, of the current directory first, as `python -m` does."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(module)
    except Exception as error:
        missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module}.".startswith(f"{missing}."):
            raise CodeError(
                f"model={name}: there is no module '{missing}' in {here} or where else Python looks; run from the "
                "directory that holds it, or add that to PYTHONPATH"
            ) from error
        raise CodeError(f"model={name}: {module} cannot be imported: {described(error, module)}") from error


def described(error: BaseException, module: str) -> str:
    """Say what an error of the user's code is and where it happened: in their own module, if it came by there."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, SyntaxError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).stem in (module.rpartition(".")[2], "__init__")]
    last = (own or frames)[-1]
    return f"{text} ({Path(last.filename).name}:{last.lineno}); ZOO_DEBUG=1 shows the traceback"


def _task_of(cls: Any, name: str) -> Task:
    told = getattr(cls, "task", None)
    if told is not None and str(told) not in Task.__members__:
        raise CodeError(f"model={name}: {unknown('`task`', str(told), Task.__members__)}")
    task = Task[str(told)] if told is not None else _by_inputs(cls, name)
    lacking = [method for method in ("encode", "decode_step") if not callable(getattr(cls, method, None))]
    if task == Task.pairs and lacking:
        raise CodeError(
            f"model={name}: a model of source and target sequences needs `{lacking[0]}` too, with which its outputs "
            "are searched for (docs/own-model.md)"
        )
    return task


def _by_inputs(cls: Any, name: str) -> Task:
    """Return what a class learns by the number of tensors that `forward` takes: those without default, or all."""
    places = [one for one in list(inspect.signature(cls.forward).parameters.values())[1:]
              if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]  # fmt: skip
    needed = [one for one in places if one.default is one.empty]
    for count in (len(needed), len(places)):
        if count in INPUTS:
            return INPUTS[count]
    raise CodeError(
        f"model={name}: `forward` must take (text, lengths) to find labels, or (src, src_lengths, tgt_in) to write "
        f"sequences, but takes ({', '.join(one.name for one in places)})"
    )


def _fields(cls: Any, given: Sequence[inspect.Parameter], name: str) -> list[Any]:
    """Return the fields of the options: the name, the arguments of the constructor, and `max_length` in any case."""
    try:
        hints = get_type_hints(cls.__init__)
    except Exception as error:
        raise CodeError(
            f"model={name}: its annotations cannot be read: {described(error, name.partition(':')[0])}"
        ) from error
    fields: list[Any] = [("name", str, name)]
    for one in given:
        where = f"model={name}: its argument `{one.name}`"
        if one.name == "name":
            raise CodeError(f"{where} has the name of what chooses the model; call it otherwise")
        if one.default is one.empty:
            raise CodeError(f"{where} needs a default, since it is an option: {one.name}: int = 32")
        hint = hints.get(one.name, type(one.default))
        fields.append((one.name, _type_of(hint, one, where), _field_of(one)))
    if not any(one.name == "max_length" for one in given):
        fields.append(("max_length", int, max_length(LONGEST)))
    return fields


def _field_of(parameter: inspect.Parameter) -> Any:
    """Return the field of an argument; those that models of the zoo have too share their help and their range."""
    default = parameter.default
    if parameter.name == "max_length":
        return max_length(default)
    if parameter.name == "dropout":
        return dropout(default)
    return option(list(default) if isinstance(default, list | tuple) else default, "")


def _type_of(hint: Any, parameter: inspect.Parameter, where: str) -> Any:
    """Return the type of an option as those of the zoo are declared, from the annotation of an argument."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in PLAIN:
        return hint
    if origin in (Union, types.UnionType) and len(inner) == 2 and type(None) in inner:
        (kept,) = (one for one in inner if one is not type(None))
        return _type_of(kept, parameter, where) | None
    if origin is Literal and all(isinstance(one, str) for one in inner):
        return StrEnum(parameter.name, {one: one for one in inner})
    if origin in (list, Sequence) and inner[0] in PLAIN:
        return types.GenericAlias(list, (inner[0],))
    shown = getattr(hint, "__name__", hint) if origin is None else hint
    raise CodeError(
        f"{where} is of type {shown}, but options are bool, int, float, str, list[int] and the like, or a "
        "Literal of texts, each also with `| None`"
    )

"""A zoo of sequence models in PyTorch, trained from the shell.

From Python: `zoo.load("last").predict(["zebra"])`, several runs together by `zoo.load("runs/a", "runs/b")`,
`zoo.list_models("class*")`, `zoo.list_datasets()`, `zoo.create_model("transformer", ...)`, the loop,
`zoo.training.training(epoch, model, trainloader, validloader, optimizer=...)`, `zoo.evaluation.evaluate(...)`, which
is `zoo.evaluate` too, and `zoo.search.beam(...)`. docs/interface.md has an example of each.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo import errors, evaluation, search, training
    from zoo.config import list_datasets
    from zoo.evaluation import evaluate
    from zoo.experiment import Committee, Run, load
    from zoo.models import create_model, list_models

__version__ = "0.1.0"
__all__ = [
    "Committee",
    "Run",
    "create_model",
    "errors",
    "evaluate",
    "evaluation",
    "list_datasets",
    "list_models",
    "load",
    "search",
    "training",
]

_MODULES = ("errors", "evaluation", "search", "training")

_HOMES = {
    "Committee": ("zoo.experiment", "Committee"),
    "Run": ("zoo.experiment", "Run"),
    "load": ("zoo.experiment", "load"),
    "create_model": ("zoo.models", "create_model"),
    "evaluate": ("zoo.evaluation", "evaluate"),
    "list_datasets": ("zoo.config", "list_datasets"),
    "list_models": ("zoo.models", "list_models"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import zoo` stays instant."""
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"zoo.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    module, own_name = _HOMES[name]
    return getattr(import_module(module), own_name)


def __dir__() -> list[str]:
    """Name what is public too before it is imported, for those who look around."""
    return sorted({*globals(), *__all__})

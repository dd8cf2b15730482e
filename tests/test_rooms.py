"""A module imports only from rows above its own, or from its own package (the table of rows is the architecture)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "zoo"
ROWS = [
    {"errors"},
    {"storage", "distributed", "migration"},
    {"config"},
    {"data", "nn"},
    {"models", "loss", "metrics", "optim", "checkpoint", "record", "pretrained"},
    {"bootstrap"},
    {"search"},
    {"evaluation"},
    {"training"},
    {"experiment"},
    {"average", "breakdown", "explore", "diagnose", "compare", "tune", "export", "serve", "benchmark"},
    {"cli"},
    {"__main__", "__init__"},
]
ROW = {room: number for number, rooms in enumerate(ROWS) for room in rooms}
MODULES = sorted(SOURCE.rglob("*.py"))


def room_of(module: Path) -> str:
    return module.relative_to(SOURCE).with_suffix("").parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the rooms that a module's import statements name, those inside of functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            base = node.module or ""
            names = [f"zoo.{alias.name}" for alias in node.names] if base == "zoo" else [base]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("zoo."))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_from_rows_above_or_its_own_package(module: Path) -> None:
    room = room_of(module)
    assert room in ROW, f"{room} has no row; add it to the design's table and to this test"
    for other in imported(ast.parse(module.read_text(encoding="utf-8"))):
        assert other == room or ROW[other] < ROW[room], f"{module.name}: {room} must not import {other}"


def test_the_check_sees_an_import_from_below() -> None:
    assert list(imported(ast.parse("def f():\n    from zoo import cli\n    import zoo.training as t"))) == [
        "cli",
        "training",
    ]


@pytest.mark.parametrize("module", [path for path in MODULES if room_of(path) != "cli"], ids=lambda path: path.stem)
def test_only_the_command_line_prints(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]


@pytest.mark.parametrize("room", ["errors.py", "config", "cli"])
def test_what_answers_at_once_names_torch_in_no_top_level_import(room: str) -> None:
    path = SOURCE / room
    for module in [path] if path.is_file() else path.glob("*.py"):
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not any(name.split(".")[0] == "torch" for name in names), module

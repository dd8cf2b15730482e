"""What `import zoo` names is there, instant to import, and told on its page."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import zoo

DOCS = Path(__file__).parents[1] / "docs"
PAGE, LOOP = ((DOCS / name).read_text(encoding="utf-8") for name in ("interface.md", "loop.md"))
FUNCTIONS = {
    "zoo.load": zoo.load,
    "zoo.create_model": zoo.create_model,
    "zoo.list_models": zoo.list_models,
    "zoo.list_datasets": zoo.list_datasets,
    "zoo.training.training": zoo.training.training,
    "zoo.evaluation.evaluate": zoo.evaluation.evaluate,
    "zoo.search.beam": zoo.search.beam,
}


def test_every_public_name_is_there_and_seen_before_it_is_imported() -> None:
    assert set(zoo.__all__) <= set(dir(zoo))
    assert all(getattr(zoo, name) is not None for name in zoo.__all__)
    assert zoo.evaluate is zoo.evaluation.evaluate
    with pytest.raises(AttributeError, match="module 'zoo' has no attribute 'lode'"):
        print(zoo.lode)


@pytest.mark.parametrize("code", ["dir(zoo)", "zoo.list_datasets()", "zoo.list_models()", "zoo.errors.ConfigError"])
def test_looking_around_does_not_import_torch(code: str) -> None:
    program = f"import sys, zoo; {code}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_has_a_section_that_names_its_arguments(name: str) -> None:
    section = PAGE.partition(f"\n## `{name}`")[2] or PAGE.partition(f"`{name}`\n")[2]
    section = section.partition("\n## ")[0]
    assert "```python" in section
    keywords = inspect.signature(FUNCTIONS[name]).parameters
    told = (
        section
        if name != "zoo.training.training"
        else section + Path(f"{zoo.__path__[0]}/../../docs/loop.md").read_text()
    )
    missing = [key for key in keywords if key not in told and key not in ("pattern", "choices")]
    assert not missing
    assert inspect.getdoc(FUNCTIONS[name])

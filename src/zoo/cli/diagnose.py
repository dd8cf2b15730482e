"""`zoo diagnose RUN`: what is wrong with a run, by its curves, and what to try."""

import json
from pathlib import Path
from typing import Any

from zoo.cli.runs import Parser
from zoo.cli.tables import columns
from zoo.errors import ZooError


def diagnose(arguments: list[str]) -> int:
    """Print what is wrong with a run, the worst first."""
    parser = Parser(
        prog="zoo diagnose",
        description="Say what is wrong with a run, finished or not, by the curves in its directory: the evidence, and "
        "the overrides to try. Nothing is computed anew.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="a run's directory, or `last`, the newest under runs/")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    found = diagnosis(options.run)
    print(json.dumps(found, ensure_ascii=False) if options.json else _shown(found))
    return 0


def diagnosis(name: str) -> dict[str, Any]:
    """Return what there is to say of a run, as plain values."""
    from zoo.diagnose import diagnose, read_curves
    from zoo.experiment.directory import run_path

    path = run_path(name, trained=False)
    curves = read_curves(path)
    found = [finding.to_dict() for finding in diagnose(curves)]
    return {"run": str(path), "epochs": len(curves), "ended": curves.ended, "findings": found}


def concerns(path: Path) -> str:
    """Return what is wrong with a run in a line, empty where nothing is or its files cannot be read."""
    try:
        return ", ".join(finding["what"] for finding in diagnosis(str(path))["findings"])
    except (OSError, ZooError):
        return ""


def _shown(found: dict[str, Any]) -> str:
    epochs = f"{found['epochs']} epoch{'' if found['epochs'] == 1 else 's'}"
    lines = [f"{found['run']}: {epochs}{'' if found['ended'] else ' so far'}"]
    for number, finding in enumerate(found["findings"], 1):
        lines += ["", f"{number}. {finding['what']} ({finding['severity']})"]
        lines += [f"   {line}" for line in finding["evidence"]]
        lines += [f"   try  {line}" for line in columns([_cells(one) for one in finding["advice"]])]
    if not found["findings"]:
        few = "; curves say more after a few epochs" if found["epochs"] < 3 else ""
        lines.append(f"nothing found{few}" if found["epochs"] else "no epoch is recorded here")
    return "\n".join(lines)


def _cells(advice: dict[str, Any]) -> list[str]:
    return [" ".join(advice["overrides"]) or "-", advice["why"]]

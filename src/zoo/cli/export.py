"""`zoo export RUN`: a model for other programs, proved to be equal."""

from typing import Any

from zoo.cli.runs import Parser
from zoo.errors import ConfigError

FORMATS = ("torch", "onnx", "ctranslate2")


def export(arguments: list[str]) -> int:
    """Export a run's model, and print how it was found to be equal."""
    parser = Parser(
        prog="zoo export",
        description="Write a run's model for other programs: a directory with the model, its vocabularies and "
        "export.json, which says what goes in and what comes out. It is loaded again and compared with the run's model "
        "on validation texts; where they differ nothing is kept, and the exit code is 1.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="a run's directory, `last`, or an installed model, as g2p-en")
    parser.add_argument("--format", choices=FORMATS, help="torch: torch.export; onnx: onnxruntime; ctranslate2: "
                        "model=transformer alone, fast on a CPU")  # fmt: skip
    parser.add_argument("--out", metavar="DIR", help="the new directory; default: RUN-FORMAT beside the run")
    parser.add_argument("--quantize", choices=["int8"], help="smaller weights, for ctranslate2")
    options = parser.parse_args(arguments)
    if options.format is None:
        raise ConfigError(f"name a format: --format {', '.join(FORMATS)}; see zoo export --help")
    if options.out == "":
        raise ConfigError("`--out` is empty; name a directory")
    from zoo.export import export

    made = export(options.run, options.format, out=options.out, quantize=options.quantize or "")
    print(f"export {made.model} of {made.run}")
    print("\n".join(_proof(made.proof)))
    print(f"files  {made.directory} ({made.size / 1e6:.1f} MB)")
    return 0


def _proof(found: dict[str, Any]) -> list[str]:
    ties = f", {found['ties']} part where the model's best two are closer than that" if found["ties"] else ""
    lines = [
        f"equal  {found['equal_outputs']} of {found['texts']} texts {found['origin']}{ties}; logits differ by at most "
        f"{found['largest_difference']:.2g} (allowed: {found['tolerance']:g})"
    ]
    for name, rates in found.get("error_rates", {}).items():
        lines.append(
            f"{name:6} "
            + ", ".join(f"{key} {value:.4f}" for key, value in rates.items())
            + f" ({found['rated_texts']} texts)"
        )
    return lines

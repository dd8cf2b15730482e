"""A row of results for the tests."""

from rows import Row


def row(**changes: object) -> Row:
    """Return a row; keywords change it."""
    values = {"recipe": "trec6", "task": "", "model": "linear", "seed": "1", "split": "dev", "metric": "accuracy",
              "value": 0.5, "low": 0.4, "high": 0.7, "sources": 10, "parameters": 1_500_000, "seconds": 90.0,
              "hardware": "a machine", "members": "", "signature": "", "config": "0",
              "version": "1", "commit": "abc"}  # fmt: skip
    return Row(**{**values, **changes})  # type: ignore[arg-type]

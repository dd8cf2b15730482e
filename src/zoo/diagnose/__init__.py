"""What is wrong with a run, read from its curves, and what to try."""

import numpy as np

from zoo.diagnose.finding import Advice, Finding, Rule, Severity
from zoo.diagnose.fitting import over_fitting, plateau, under_fitting
from zoo.diagnose.parts import leakage, noisy_validation, slow_loader, unbalanced_labels
from zoo.diagnose.steps import (
    dead_units,
    diverged,
    exploding_gradients,
    rate_too_high,
    rate_too_low,
    vanishing_gradients,
)
from zoo.experiment.curves import Curves, read_curves

__all__ = ["RULES", "Advice", "Curves", "Finding", "Severity", "diagnose", "read_curves"]

RULES: tuple[Rule, ...] = (
    diverged,
    leakage,
    exploding_gradients,
    rate_too_high,
    vanishing_gradients,
    dead_units,
    over_fitting,
    rate_too_low,
    under_fitting,
    unbalanced_labels,
    plateau,
    noisy_validation,
    slow_loader,
)
"""One for each fault; of findings that are as severe, the first is the likelier cause of the others."""


def diagnose(curves: Curves) -> list[Finding]:
    """Return what the rules find, the worst first."""
    with np.errstate(all="ignore"):  # figures may be missing, or any in a file from others
        found = [finding for rule in RULES if (finding := rule(curves))]
    return sorted(found, key=lambda finding: -finding.severity)

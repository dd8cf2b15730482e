"""Feature extraction by name, and how many components there should be."""

from typing import Any, NamedTuple

import numpy as np

from zoo.errors import ConfigError, unknown
from zoo.explore.probe import FOLDS, SAMPLE, Curve, Fold, Reducer, folds_of, probe_curve, sample_rows
from zoo.explore.projection import Reduction, broken_stick, pca, pls, spectrum
from zoo.explore.scaling import fit_scaling
from zoo.explore.targets import fit_targets, is_numeric, require_y
from zoo.metrics import Array

MOST = 20
"""Components that are tried at most."""


def autoencoder(x: Array, y: Array | None = None, *, components: int, seed: int = 1) -> Reduction:
    """Train a network that rebuilds x; see `zoo.explore.autoencoder`."""
    from zoo.explore.autoencoder import autoencoder as train  # needs torch, which the others do not

    return train(x, y, components=components, seed=seed)


REDUCTIONS: dict[str, Reducer] = {"pca": pca, "pls": pls, "autoencoder": autoencoder}


class Choice(NamedTuple):
    """A number of components, the rule that gave it, and the curve it was read from (None: no cross-validation)."""

    components: int
    rule: str
    curve: Curve | None = None


def choose_components(
    name: str,
    x: Array,
    y: Array | None = None,
    *,
    most: int = MOST,
    scaling: str = "zscore",
    folds: int = FOLDS,
    seed: int = 1,
) -> Choice:
    """Return how many components of a reduction to keep; x (points, features) is not scaled yet.

    With y, by cross-validation: the fewest within one standard error of the best. PLS is judged by what it predicts,
    labels by accuracy and numbers by Q2; PCA by the linear probe, or by Q2 of a regression on its scores. Without y,
    PCA keeps what the broken stick leaves. The autoencoder gets as many as PCA, since a training for each number and
    fold takes too long. Of more than `SAMPLE` points, so many are drawn.
    """
    if name not in REDUCTIONS:
        raise ConfigError(unknown("reduction", name, REDUCTIONS))
    rows, notes = sample_rows(x, y, most=SAMPLE, seed=seed)
    smaller = "".join(f" ({note})" for note in notes)
    x, y = x[rows], None if y is None else y[rows]
    most = max(1, min(most, x.shape[1], len(x) - 1 - -(-len(x) // folds)))
    if y is None:
        if name == "pls":
            require_y(name, y)
        shares = spectrum(fit_scaling(x, scaling).apply(x))
        return Choice(min(most, broken_stick(shares)), f"broken stick of PCA{smaller}")
    options: dict[str, Any] = {"scaling": scaling, "folds": folds, "seed": seed}
    if name == "pls":
        curve = prediction_curve(x, y, pls, most, **options)
    elif is_numeric(y):
        curve = prediction_curve(x, y, pca, most, **options)
    else:
        curve = probe_curve(x, y, pca, counts_up_to(most), **options)
    return Choice(curve.fewest(), _rule(name, curve) + smaller, curve)


def _rule(name: str, curve: Curve) -> str:
    """Say how the number of components was chosen, and where more might be better."""
    edge = f"; as many as were tried ({curve.counts[-1]})" if curve.fewest() == curve.counts[-1] else ""
    of = "PLS" if name == "pls" else "PCA"
    return f"fewest within one standard error of the best {curve.measure} of {of}{edge}"


def counts_up_to(most: int) -> tuple[int, ...]:
    """Return 1 to 10, and from there every fifth, up to `most`."""
    return tuple(sorted({*range(1, min(most, 10) + 1), *range(15, most + 1, 5), most}))


def prediction_curve(
    x: Array, y: Array, reducer: Reducer, most: int, *, scaling: str = "zscore", folds: int = FOLDS, seed: int = 1
) -> Curve:
    """Return what the first 1, 2, ... `most` components of a linear reduction predict of points held out.

    Labels: the share of points whose class has the largest output. Numbers: Q2 = 1 - PRESS / SS, where PRESS sums the
    squared errors of the held-out points and SS the squares of their distances from the training mean, over all
    targets on one scale (Wold et al., 2001).
    """
    parts = folds_of(x, y, scaling=scaling, folds=folds, seed=seed)
    values = np.array([_judge(fold, reducer, most, seed) for fold in parts])
    return Curve("Q2" if is_numeric(y) else "accuracy", tuple(range(1, most + 1)), values)


def _judge(fold: Fold, reducer: Reducer, most: int, seed: int) -> list[float]:
    """Return accuracy or Q2 on a fold for each number of components; what lacks later ones stays as it was."""
    reduction = reducer(fold.x_train, fold.y_train, components=most, seed=seed)
    targets = fit_targets(fold.y_train)
    truth, held = targets.encode(fold.y_test), reduction.transform(fold.x_test)
    assert reduction.coefficients is not None
    predicted, found = np.zeros_like(truth), []
    for scores, coefficients in zip(held.T, reduction.coefficients, strict=True):
        predicted = predicted + scores[:, None] * coefficients
        found.append(targets.judge(predicted, truth))
    return found + found[-1:] * (most - len(found))

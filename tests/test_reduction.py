"""How many components: rules with a closed form, and data whose number is known."""

import time

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression

from zoo.errors import ConfigError
from zoo.explore.probe import splits
from zoo.explore.projection import pca, pls
from zoo.explore.reduction import REDUCTIONS, choose_components, counts_up_to, prediction_curve
from zoo.explore.scaling import fit_scaling
from zoo.explore.selection import SCALED, SELECTIONS
from zoo.metrics import Array


def planes(dimensions: int, *, points: int = 150, features: int = 12, noise: float = 0.3) -> tuple[Array, Array]:
    """Return points that vary in a few directions, and these (points, dimensions)."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(points, dimensions))
    directions = np.linalg.qr(rng.normal(size=(features, dimensions)))[0]
    return latent @ directions.T * 3 + noise * rng.normal(size=(points, features)), latent


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_without_labels_pca_keeps_the_directions_that_vary(dimensions: int) -> None:
    choice = choose_components("pca", planes(dimensions)[0])
    assert choice.components == dimensions
    assert choice.rule == "broken stick of PCA"
    assert choice.curve is None


def test_pls_keeps_the_one_direction_that_tells_the_number() -> None:
    x, latent = planes(3)
    choice = choose_components("pls", x, latent[:, 0] + 0.1 * latent[:, 1], scaling="none")
    assert choice.components <= 2
    assert choice.rule == "fewest within one standard error of the best Q2 of PLS"
    assert choice.curve is not None
    assert choice.curve.mean.max() > 0.95


def test_labels_in_a_direction_of_little_variance_ask_more_of_pca_than_of_pls() -> None:
    rng = np.random.default_rng(1)
    numbers = np.arange(200) % 2
    base = rng.normal(size=(200, 4))
    x = np.column_stack(
        [base[:, [0, 0, 1, 1, 2, 2, 3, 3]] + 0.1 * rng.normal(size=(200, 8)), numbers + 0.3 * base[:, 0]]
    )
    found = {name: choose_components(name, x, numbers) for name in ("pca", "pls")}
    assert found["pls"].components < found["pca"].components
    assert found["pca"].rule.startswith("fewest within one standard error of the best accuracy of PCA")


def test_q2_equals_press_written_out_fold_by_fold() -> None:
    x, latent = planes(3, points=40)
    y = latent[:, :2] * [1, 100] + 0.3 * np.random.default_rng(2).normal(size=(40, 2)) * [1, 100]
    curve = prediction_curve(x, y, pls, 3, scaling="none", folds=4, seed=5)
    expected = []
    for train, held in splits(y, folds=4, seed=5):
        scale, mean = y[train].std(0), y[train].mean(0)
        row = []
        for components in (1, 2, 3):
            model = PLSRegression(components, scale=False, max_iter=5000, tol=1e-12).fit(
                x[train], (y[train] - mean) / scale
            )
            truth = (y[held] - mean) / scale
            row.append(1 - ((model.predict(x[held]) - truth) ** 2).sum() / (truth**2).sum())
        expected.append(row)
    assert curve.measure == "Q2"
    assert curve.values == pytest.approx(np.array(expected), abs=1e-4)


def test_components_that_are_not_there_leave_the_curve_level() -> None:
    x, latent = planes(1, noise=0.0)
    curve = prediction_curve(x, latent[:, 0], pls, 4)
    assert curve.values == pytest.approx(np.ones((5, 4)))


def test_a_choice_at_the_edge_and_a_sample_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.explore.reduction.SAMPLE", 100)
    x, latent = planes(5)
    choice = choose_components("pls", x, latent, most=2)
    assert choice.components == 2
    assert choice.rule.endswith("as many as were tried (2) (100 of 150 points, drawn at random)")
    assert choice.rule == choose_components("pls", x, latent, most=2).rule


def test_all_three_reductions_have_one_form() -> None:
    x, latent = planes(3, points=60)
    labels = np.where(latent[:, 0] > 0, "up", "down")
    for name, reduce in REDUCTIONS.items():
        found = reduce(x, labels, components=2, seed=1)
        assert found.name == name
        assert found.scores.shape == (60, 2)
        assert found.transform(x[:5]) == pytest.approx(found.scores[:5], abs=1e-5)
        assert found.explained_y is not None
        assert 0 < found.explained_x.sum() <= 1
        assert 0 < found.explained_y.sum() <= 1


def test_counts_are_dense_at_first() -> None:
    assert counts_up_to(3) == (1, 2, 3)
    assert counts_up_to(17) == (*range(1, 11), 15, 17)


def test_a_wrong_name_and_missing_labels_are_told() -> None:
    with pytest.raises(ConfigError, match=r"unknown reduction 'pcaa'; did you mean 'pca'\?"):
        choose_components("pcaa", planes(2)[0])
    with pytest.raises(ConfigError, match="pls needs labels or numbers to explain; name their column with --label"):
        choose_components("pls", planes(2)[0])
    with pytest.raises(ConfigError, match="pls needs labels"):
        REDUCTIONS["pls"](planes(2)[0], components=1)


@pytest.mark.slow
def test_ten_thousand_points_of_512_dimensions_take_seconds() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 10, 10_000)
    x = rng.normal(size=(10, 512))[numbers] * 0.2 + rng.normal(size=(10_000, 30)) @ rng.normal(size=(30, 512))
    begun = time.process_time()
    scaled = fit_scaling(x).apply(x)
    for reduce in (pca, pls):
        reduce(scaled, numbers, components=20)
    for name in ("pca_loadings", "variance", "chi_square", "information_gain"):
        SELECTIONS[name](fit_scaling(x, SCALED.get(name, "zscore")).apply(x), numbers, count=20)
    assert time.process_time() - begun < 40

"""The autoencoder, trained by the zoo's own loop."""

import numpy as np
import pytest
import torch

import zoo.explore.autoencoder as module
from zoo.errors import ConfigError
from zoo.explore.autoencoder import Autoencoder, RowLoader, Rows, autoencoder
from zoo.explore.projection import pca
from zoo.explore.scaling import fit_scaling
from zoo.loss import squared_error
from zoo.metrics import Array
from zoo.training import training


def curve(points: int = 300) -> Array:
    """Return points along a bent line: more than half of a circle."""
    turn = np.random.default_rng(0).uniform(-2, 2, points)
    x = np.column_stack([np.cos(turn), np.sin(turn)])
    return fit_scaling(x).apply(x)


def test_one_component_follows_a_bent_line_that_a_straight_one_cannot() -> None:
    x = curve()
    found = autoencoder(x, components=1)
    assert found.explained_x.shape == (1,)
    assert found.explained_x[0] > pca(x, components=1).explained_x[0] + 0.2
    assert found.explained_y is None
    assert found.scores.shape == (300, 1)
    assert found.notes[0].startswith("trained ")


def test_the_loop_of_the_zoo_trains_it(monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[int] = []

    def spy(epoch: int, *arguments: object, **options: object) -> object:
        epochs.append(epoch)
        assert options["criterion"] is squared_error
        return training(epoch, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "training", spy)
    autoencoder(curve(40), components=1, epochs=3)
    assert epochs == [1, 2, 3]


def test_two_equal_trainings_are_equal_to_the_bit_and_leave_the_global_generator_alone() -> None:
    x = curve(60)
    before = torch.get_rng_state()
    first, again, other = (autoencoder(x, components=2, epochs=2, seed=seed) for seed in (1, 1, 2))
    assert first.scores.tobytes() == again.scores.tobytes()
    assert first.scores.tobytes() != other.scores.tobytes()
    assert (torch.get_rng_state() == before).all()


def test_other_points_are_encoded_one_by_one() -> None:
    x = curve(60)
    found = autoencoder(x, components=2, epochs=2)
    assert found.transform(x[7:8])[0] == pytest.approx(found.scores[7], abs=1e-5)


def test_the_best_epoch_is_kept_and_training_ends_without_progress() -> None:
    x = np.random.default_rng(0).normal(size=(40, 6))  # noise, which is learnt by heart
    found = autoencoder(x, components=2, epochs=60, patience=3, lr=0.03)
    words = found.notes[0].replace(",", "").split()
    assert int(words[1]) == int(words[5]) + 3


def test_the_loss_of_an_epoch_is_the_mean_squared_error_however_batches_are_cut() -> None:
    rows = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    model = Autoencoder(4, 2, hidden_size=5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    expected = float(((model(rows) - rows) ** 2).mean().detach())
    for size in (3, 10):
        loader = RowLoader(rows, batch_size=size)
        result = training(1, model, loader, loader, optimizer=optimizer, criterion=squared_error)
        assert result == pytest.approx((expected, 0, expected, 0))


def test_a_loader_gives_each_point_once_in_another_order_each_epoch() -> None:
    rows = torch.arange(7.0)[:, None]
    loader = RowLoader(rows, batch_size=3, generator=torch.Generator().manual_seed(0))
    first, second = (torch.cat([batch.rows for batch in loader])[:, 0].tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second
    assert len(loader) == 3
    assert Rows(rows).tokens == 7


def test_the_share_of_labels_is_what_is_linear_in_the_scores() -> None:
    x = curve(200)
    found = autoencoder(x, np.where(x[:, 1] > 0, "up", "down"), components=2, epochs=10)
    assert found.explained_y is not None
    assert 0.3 < found.explained_y[0] < 1


def test_too_few_points_or_too_many_components_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"from 1 to 2 `components`, but is given 300 points and components=3"):
        autoencoder(curve(), components=3)
    with pytest.raises(ConfigError, match="at least 10 points"):
        autoencoder(curve(5), components=1)

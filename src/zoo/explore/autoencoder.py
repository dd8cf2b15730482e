"""Feature extraction by a network that rebuilds its input through a narrow layer (Hinton and Salakhutdinov, 2006)."""

from collections.abc import Iterator
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.explore.projection import Reduction
from zoo.explore.targets import fit_targets
from zoo.loss import squared_error
from zoo.metrics import Array
from zoo.training import training

VALID = 0.1
"""Share of the points that no step sees, by which the best epoch is chosen."""

PROGRESS = 0.002
"""Share of the loss by which an epoch has to be better to be the best: the last bit takes as long as all before."""


class Rows(NamedTuple):
    """A batch for the loop whose targets are its inputs: rows (batch, features)."""

    rows: Tensor

    @property
    def inputs(self) -> tuple[Tensor]:
        return (self.rows,)

    @property
    def targets(self) -> Tensor:
        return self.rows

    @property
    def tokens(self) -> int:
        """How many points there are."""
        return len(self.rows)

    def to(self, device: torch.device) -> "Rows":
        return Rows(self.rows.to(device))


class RowLoader:
    """Batches of points (points, features), in an order that the generator draws anew each epoch; None: as they are."""

    def __init__(self, x: Tensor, *, batch_size: int, generator: torch.Generator | None = None) -> None:
        self.x, self.batch_size, self.generator = x, batch_size, generator

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[Rows]:
        if self.generator is None:
            order = torch.arange(len(self.x))
        else:
            order = torch.randperm(len(self.x), generator=self.generator)
        return (Rows(self.x[part]) for part in torch.split(order, self.batch_size))


class Autoencoder(nn.Module):
    """Features to hidden_size to `components`, and back."""

    def __init__(self, features: int, components: int, *, hidden_size: int = 64) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(features, hidden_size), nn.ReLU(), nn.Linear(hidden_size, components)
        )  # the narrow layer is linear, so that scores are not cut at zero
        self.decoder = nn.Sequential(nn.Linear(components, hidden_size), nn.ReLU(), nn.Linear(hidden_size, features))

    def forward(self, x: Tensor) -> Tensor:
        """Return the rebuilt points (batch, features)."""
        rebuilt: Tensor = self.decoder(self.encoder(x))
        return rebuilt


def autoencoder(
    x: Array,
    y: Array | None = None,
    *,
    components: int,
    seed: int = 1,
    hidden_size: int = 64,
    epochs: int = 100,
    patience: int = 5,
    batch_size: int = 64,
    lr: float = 3e-3,
) -> Reduction:
    """Train an `Autoencoder` of x (points, features) by the zoo's loop, with the mean squared error as its loss.

    Keeps the epoch that rebuilds best what no step saw, and stops where `patience` epochs made it no better. x should
    be scaled. explained_x is one number, the share of the variance of x that comes out again, since these components
    have no order. y changes nothing, but adds the one share of it that is linear in the scores. DivergenceError where
    the loss is lost; lower `lr`.
    """
    if not 1 <= components <= x.shape[1] or len(x) < 10:
        raise ConfigError(
            f"an autoencoder takes at least 10 points, and from 1 to {x.shape[1]:,} `components`, but is given "
            f"{len(x):,} points and components={components}"
        )
    rows = torch.from_numpy(np.asarray(x, dtype=np.float32))
    model = _build(x.shape[1], components, hidden_size, seed)
    notes = _train(model, rows, seed=seed, epochs=epochs, patience=patience, batch_size=batch_size, lr=lr)
    scores = _encode(model, x)
    with torch.no_grad():
        left = float(((model(rows) - rows).double() ** 2).sum())
    explained = 1 - left / max(float(((x - x.mean(0)) ** 2).sum()), 1e-300)
    return Reduction(
        "autoencoder",
        scores,
        lambda more: _encode(model, more),
        np.array([explained]),
        None if y is None else np.array([_linear_share(scores, fit_targets(y).matrix)]),
        notes=notes,
    )


def _build(features: int, components: int, hidden_size: int, seed: int) -> Autoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Autoencoder(features, components, hidden_size=hidden_size)


def _train(
    model: Autoencoder, rows: Tensor, *, seed: int, epochs: int, patience: int, batch_size: int, lr: float
) -> tuple[str, ...]:
    """Train until nothing gets better, and leave the best epoch's weights in the model."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(rows), generator=generator)
    held = max(1, int(VALID * len(rows)))
    trainloader = RowLoader(rows[order[held:]], batch_size=batch_size, generator=generator)
    validloader = RowLoader(rows[order[:held]], batch_size=1024)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    best, best_epoch, weights = float("inf"), 0, deepcopy(model.state_dict())
    for epoch in range(1, epochs + 1):
        result = training(epoch, model, trainloader, validloader, optimizer=optimizer, criterion=squared_error)
        if result.valid_loss < (1 - PROGRESS) * best:
            best, best_epoch, weights = result.valid_loss, epoch, deepcopy(model.state_dict())
        if epoch - best_epoch >= patience:
            break
    model.load_state_dict(weights)
    model.eval()
    return (f"trained {epoch} epochs; the best, {best_epoch}, rebuilds held-out points to a mean square of {best:.4f}",)


@torch.no_grad()
def _encode(model: Autoencoder, x: Array) -> Array:
    scores: Tensor = model.encoder(torch.from_numpy(np.asarray(x, dtype=np.float32)))
    return np.asarray(scores.double().numpy())


def _linear_share(scores: Array, matrix: Array) -> float:
    """Return the share of a centered matrix that is linear in the scores."""
    centered = scores - scores.mean(0)
    solution = np.linalg.lstsq(centered, matrix, rcond=None)[0]
    return 1 - float(((matrix - centered @ solution) ** 2).sum() / (matrix**2).sum())

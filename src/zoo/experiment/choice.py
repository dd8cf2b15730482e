"""Which epoch of a run is the best, and for how many none has been better."""

from typing import Any

from zoo.config import TrainConfig
from zoo.experiment.identity import check_metric
from zoo.experiment.measure import monitored


class BestEpoch:
    """The best epoch so far by the metric that is watched; of equal values the one with the lower loss.

    `bad_epochs` counts the whole epochs since then.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.monitor, self.direction = monitored(config)
        self.found: dict[str, Any] = {}
        self.bad_epochs = 0

    def judge(self, values: dict[str, float], *, epoch: int, step: int, whole: bool) -> bool:
        """Take an epoch's figures, `whole` or cut short by a limit; return whether it is the best."""
        value, loss = values[f"valid_{self.monitor}"], values["valid_loss"]
        better = not self.found or self._rank(value, loss) < self._rank(self.found["value"], self.found["loss"])
        if whole:
            self.bad_epochs = 0 if better else self.bad_epochs + 1
        if better:
            self.found = {"epoch": epoch, "step": step, "value": value, "loss": loss}
        return better

    def _rank(self, value: float, loss: float) -> tuple[float, float]:
        """Return what is smaller for the better epoch; of equal values, as at first, the lower loss is."""
        return value if self.direction == "min" else -value, loss

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        watched = {"monitor": self.monitor, "direction": self.direction}
        return {"best": self.found, "bad_epochs": self.bad_epochs, **watched}

    def restore(self, saved: dict[str, Any], where: str) -> None:
        """Take what `to_dict` wrote; CheckpointError where another metric was watched, KeyError where it is missing."""
        check_metric(saved, self.monitor, self.direction, where)
        self.found, self.bad_epochs = saved["best"], saved["bad_epochs"]

    def forget(self) -> None:
        """Let the best epoch be found anew."""
        self.found, self.bad_epochs = {}, 0

"""Checks of the options of `dataset=hub`, which names splits of a dataset of the Hub or files of the user's."""

import os

from zoo.config.datasets import HUB_FORMATS, HubConfig
from zoo.errors import ConfigError


def check_hub(dataset: HubConfig) -> None:
    """Raise ConfigError where no data are named, or an option goes with the other kind; expand `~` in paths."""
    if not dataset.path:
        raise ConfigError(
            "`dataset.path` is empty; name a dataset of the Hub, as in dataset.path=user/name, or the format of your "
            f"files: {', '.join(HUB_FORMATS)}"
        )
    if not dataset.train or (dataset.path in HUB_FORMATS and dataset.train == HubConfig().train):
        what = "your training file" if dataset.path in HUB_FORMATS else "the split to train on"
        raise ConfigError(
            f"`dataset.train` must name {what}: dataset=hub dataset.path={dataset.path} dataset.train=NAME"
        )
    dataset.path = os.path.expanduser(dataset.path)
    for key in ("config", "revision"):
        if dataset.path in HUB_FORMATS and getattr(dataset, key) is not None:
            raise ConfigError(f"`dataset.{key}` has no effect on files of your own; leave it out")
    for key in ("train", "valid", "test"):
        names = getattr(dataset, key)
        if not isinstance(names, list):
            setattr(dataset, key, os.path.expanduser(str(names)))
        elif dataset.path in HUB_FORMATS:
            setattr(dataset, key, [os.path.expanduser(str(name)) for name in names])
        else:
            raise ConfigError(f"`dataset.{key}` must be one split, but is {names}; only files may be several")

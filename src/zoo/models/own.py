"""Building a model of the user's own, and a look at what it gives before any training."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo.config import own_model
from zoo.config.own import described
from zoo.data.sizes import PairSizes
from zoo.data.vocab import BOS, EOS, PAD, UNK
from zoo.errors import CodeError, ZooError, is_out_of_memory

if TYPE_CHECKING:
    from zoo.data.sizes import Sizes

BATCH, TIME = 2, 16
"""Rows of the batch that a new model is tried with, and tokens at most; the second row has half of the first's."""


def build_own(config: Any, sizes: "Sizes") -> nn.Module:
    """Return a model of the user's own, given the sizes of the data and its options.

    CodeError where its constructor or a pass over two rows of unknown tokens fails, or gives no such logits as it must.
    """
    own = own_model(config.name)
    options = {key: str(value) if isinstance(value := getattr(config, key), str) else value for key in own.given}
    if own.takes_shared:
        options["shared_vocabulary"] = getattr(sizes, "shared", False)
    try:
        model: nn.Module = own.cls(*sizes[:2], **options)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            _try(model.eval(), sizes, min(TIME, config.max_length), config.name)
        return model.train()
    except ZooError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise CodeError(f"model={config.name} fails: {described(error, own.cls.__module__)}") from error


def _try(model: Any, sizes: "Sizes", time: int, name: str) -> None:
    text, lengths = torch.full((BATCH, time), UNK), torch.tensor([time, time // 2])
    if not isinstance(sizes, PairSizes):
        text[1, time // 2 :] = PAD
        _check(model(text, lengths), (BATCH, sizes.classes), "forward(text, lengths)", name)
        return
    text[0, -1], text[1, time // 2 - 1], text[1, time // 2 :] = EOS, EOS, PAD
    tgt_in = torch.full((BATCH, time), UNK)
    tgt_in[:, 0] = BOS
    _check(model(text, lengths, tgt_in), (BATCH, time, sizes.tgt_vocab), "forward(src, src_lengths, tgt_in)", name)
    found = model.decode_step(tgt_in[:, 0], model.encode(text, lengths))
    if not (isinstance(found, tuple) and len(found) == 2 and callable(getattr(found[1], "select", None))):
        raise CodeError(
            f"model={name}: decode_step(tokens, state) must return logits and the next state, which has "
            f"`select(rows)`, but returns {_shown(found)}"
        )
    _check(found[0], (BATCH, sizes.tgt_vocab), "decode_step(tokens, state)", name)


def _check(logits: Any, shape: tuple[int, ...], call: str, name: str) -> None:
    if not isinstance(logits, Tensor) or logits.shape != shape:
        wanted = "(batch, time, tgt_vocab)" if len(shape) == 3 else "(batch, classes)"
        wanted = "(batch, tgt_vocab)" if call.startswith("decode_step") else wanted
        raise CodeError(f"model={name}: {call} must return logits {wanted}, here {shape}, but returns {_shown(logits)}")


def _shown(value: Any) -> str:
    """Say what a value is: a tensor by its shape, tuples by what they hold."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple):
        return f"a tuple of {' and '.join(map(_shown, value))}"
    return f"a value of type {type(value).__name__}"

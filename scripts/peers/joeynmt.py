"""JoeyNMT 2.3, built from its own configuration dictionaries.

Its packages ask for versions of others that the zoo cannot take, so it is installed alone:
`pip install --no-deps joeynmt==2.3.0 subword-nmt==0.3.8`.
"""

from importlib import metadata, util
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from zoo.data.vocab import EOS, PAD, RESERVED, UNK
from zoo.models.transformer import Transformer

from .batch import pad_sources, pad_whole_targets, until_end
from .interface import Dimensions, RecurrentDimensions, Rows
from .weights import dimensions_of, is_tied, norm_of, rename, split_weights

NAME = "JoeyNMT"

NAMES = {  # of the modules, from the zoo's to JoeyNMT's
    r"^output": "decoder.output_layer",
    r"^src_embedding\.table": "src_embed.lut",
    r"^tgt_embedding\.table": "trg_embed.lut",
    r"^(encoder|decoder)\.norm": r"\1.layer_norm",
    r"\.(q|k|v)(uery|ey|alue)\.": r".\1_layer.",
    r"(attention|cross)\.output": r"\1.output_layer",
    r"encoder(.*)attention_residual\.norm": r"encoder\1layer_norm",
    r"decoder(.*)attention_residual\.norm": r"decoder\1x_layer_norm",
    r"cross_residual\.norm": "dec_layer_norm",
    r"encoder(.*)\.attention\.": r"encoder\1.src_src_att.",
    r"decoder(.*)\.attention\.": r"decoder\1.trg_trg_att.",
    r"\.cross\.": ".src_trg_att.",
    r"feedforward\.inner": "feed_forward.pwff_layer.0",
    r"feedforward\.outer": "feed_forward.pwff_layer.3",
    r"feedforward_residual\.norm": "feed_forward.layer_norm",
}


def version() -> str:
    """Return the version of JoeyNMT; ImportError where it or what it imports is not installed."""
    for package in ("joeynmt", "subword_nmt"):
        if util.find_spec(package) is None:
            raise ImportError(f"{package} is not installed")
    return metadata.version("joeynmt")


class TransformerTrainer:
    """Train its Transformer, pre-norm and with a tied softmax as its configurations have it."""

    def __init__(self, dimensions: Dimensions) -> None:
        self.model = _build_transformer(dimensions, norm="pre", tied=True)
        self.optimizer = _build_optimizer(self.model)

    def step(self, src: Rows, tgt: Rows) -> float:
        """Take one optimizer step on a batch and return its loss before the step."""
        return _step(self.model, self.optimizer, src, tgt)


class LuongTrainer:
    """Train its LSTM with attention after the recurrence, without input feeding."""

    def __init__(self, dimensions: RecurrentDimensions) -> None:
        self.model = _build_recurrent(dimensions, attention="luong", input_feeding=False)
        self.optimizer = _build_optimizer(self.model)

    def step(self, src: Rows, tgt: Rows) -> float:
        """Take one optimizer step on a batch and return its loss before the step."""
        return _step(self.model, self.optimizer, src, tgt)


class Translator:
    """Decode with its search and the weights of a zoo Transformer, pre- or post-norm.

    Its beam search differs from the zoo's: outputs that have ended keep their places in the beam, and scores are
    log-probabilities over ((5 + length) / 6) ** beam_alpha; 1 is what its configurations have, -1 is no penalty. It
    never predicts the start symbol.
    """

    def __init__(self, model: Transformer, beam_alpha: float = 1.0) -> None:
        self.beam_alpha = beam_alpha
        self.model = _build_transformer(dimensions_of(model), norm=norm_of(model), tied=is_tied(model)).eval()
        self.model.decoder.output_layer.bias = nn.Parameter(torch.zeros(model.output.out_features))
        for module in self.model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-5  # the zoo's; JoeyNMT has 1e-6
        tables = {f"{side}.pe.pe": getattr(self.model, side).pe.pe for side in ("encoder", "decoder")}
        self.model.load_state_dict(rename(split_weights(model), NAMES) | tables)

    def greedy(self, src: Rows, max_length: int) -> list[list[int]]:
        """Return the likeliest token at each step, at most `max_length` of them, the end symbol included."""
        return self._search(src, width=1, max_length=max_length)

    def beam(self, src: Rows, width: int, max_length: int) -> list[list[int]]:
        """Return the best output of a beam search for each source."""
        return self._search(src, width=width, max_length=max_length)

    def _search(self, src: Rows, *, width: int, max_length: int) -> list[list[int]]:
        from joeynmt.search import search

        batch = _batch(src)
        places = batch.sort_by_src_length()
        outputs, _, _ = search(self.model, batch, max_length, width, self.beam_alpha, min_output_length=0)
        return until_end(outputs[places].tolist())


def _build_transformer(sizes: Dimensions, *, norm: str, tied: bool) -> Any:
    side = {
        "type": "transformer",
        "num_layers": sizes.layers,
        "num_heads": sizes.nhead,
        "embeddings": {"embedding_dim": sizes.d_model, "scale": True},
        "hidden_size": sizes.d_model,
        "ff_size": sizes.dim_feedforward,
        "dropout": sizes.dropout,
        "layer_norm": norm,
    }
    return _build(side, side, tied, sizes.src_vocab, sizes.tgt_vocab)


def _build_recurrent(sizes: RecurrentDimensions, **attention: Any) -> Any:
    side = {
        "type": "recurrent",
        "rnn_type": "lstm",
        "embeddings": {"embedding_dim": sizes.embedding_size},
        "num_layers": 1,
        "dropout": sizes.dropout,
    }
    encoder = {**side, "hidden_size": sizes.hidden_size // 2, "bidirectional": True}
    decoder = {**side, "hidden_size": sizes.hidden_size, "hidden_dropout": sizes.dropout, **attention}
    return _build(encoder, decoder, False, sizes.src_vocab, sizes.tgt_vocab)


def _build(encoder: dict[str, Any], decoder: dict[str, Any], tied: bool, src_vocab: int, tgt_vocab: int) -> Any:
    from joeynmt.model import build_model

    config = {"encoder": encoder, "decoder": decoder, "tied_softmax": tied}
    model = build_model(config, _vocabulary(src_vocab), _vocabulary(tgt_vocab))
    model.loss_function = ("crossentropy", 0.0)
    return model


def _vocabulary(size: int) -> Any:
    """Return a vocabulary with the zoo's reserved ids; the tokens have no other names than their ids."""
    from joeynmt.vocabulary import Vocabulary

    symbols = SimpleNamespace(
        unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>", sep_token=None, lang_tags=[],
        unk_id=0, pad_id=1, bos_id=2, eos_id=3, sep_id=None,
    )  # fmt: skip
    vocabulary = Vocabulary([str(index) for index in range(RESERVED, size)], symbols)
    vocabulary.pad_index, vocabulary.unk_index = PAD, UNK  # its constructor takes no other order than its own
    return vocabulary


def _build_optimizer(model: Any) -> torch.optim.Optimizer:
    from joeynmt.builders import build_optimizer

    optimizer: torch.optim.Optimizer = build_optimizer({"optimizer": "adam"}, model.parameters())
    return optimizer


def _batch(src: Rows, tgt: Rows | None = None) -> Any:
    from joeynmt.batch import Batch

    sources = pad_sources(src)
    return Batch(
        src=sources,
        src_length=(sources != PAD).sum(1),
        src_prompt_mask=None,
        trg=None if tgt is None else pad_whole_targets(tgt),
        trg_prompt_mask=None,
        indices=torch.arange(len(sources)),
        device=torch.device("cpu"),
        pad_index=PAD,
        eos_index=EOS,
    )


def _step(model: Any, optimizer: torch.optim.Optimizer, src: Rows, tgt: Rows) -> float:
    """Do what its `TrainManager` does for a batch with the default settings."""
    model.train()
    batch = _batch(src, tgt)
    batch.sort_by_src_length()
    total, _, _, _ = model(return_type="loss", **vars(batch))
    loss = batch.normalize(total, normalization="batch")
    loss.backward()
    optimizer.step()
    model.zero_grad()
    return float(loss.item())

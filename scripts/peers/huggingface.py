"""Hugging Face's `MarianMTModel`: a post-norm Transformer with tied target embeddings, and `generate`."""

from typing import Any

import torch

from zoo.data.batch import IGNORE
from zoo.data.vocab import BOS, EOS, PAD
from zoo.models.transformer import Transformer
from zoo.nn.embedding import sinusoids

from .batch import pad_sources, pad_targets, until_end
from .interface import Dimensions, Rows
from .weights import dimensions_of, is_tied, norm_of, rename, split_weights

NAME = "Hugging Face"

LONGEST = 1024

NAMES = {  # of the modules, from the zoo's to Marian's
    r"^output\.weight": "lm_head.weight",
    r"^output\.bias": "final_logits_bias",
    r"^src_embedding\.table": "model.encoder.embed_tokens",
    r"^tgt_embedding\.table": "model.decoder.embed_tokens",
    r"\.(q|k|v)(uery|ey|alue)\.": r".\1_proj.",
    r"(attention|cross)\.output": r"\1.out_proj",
    r"\.attention\.": ".self_attn.",
    r"\.cross\.": ".encoder_attn.",
    r"\.attention_residual\.norm": ".self_attn_layer_norm",
    r"cross_residual\.norm": "encoder_attn_layer_norm",
    r"feedforward_residual\.norm": "final_layer_norm",
    r"feedforward\.inner": "fc1",
    r"feedforward\.outer": "fc2",
    r"^(encoder|decoder)": r"model.\1",
}


def version() -> str:
    """Return the version of transformers; ImportError where it is not installed."""
    import transformers

    found: str = transformers.__version__
    return found


class TransformerTrainer:
    """Train Marian with the optimizer of the `Trainer` class, fused AdamW; precision is `fp32` or `bf16` (autocast)."""

    def __init__(self, dimensions: Dimensions, precision: str = "fp32") -> None:
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"`precision` must be one of fp32, bf16, but is {precision!r}")
        self.model = _build(dimensions, tied=True)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=5e-5, weight_decay=0.0, fused=True)
        self.autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")

    def step(self, src: Rows, tgt: Rows) -> float:
        """Take one optimizer step on a batch and return its loss before the step."""
        self.model.train()
        input_ids, labels = pad_sources(src), pad_targets(tgt, value=IGNORE)[1]
        with self.autocast:
            loss = self.model(input_ids=input_ids, attention_mask=(input_ids != PAD).long(), labels=labels).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.item())


class Translator:
    """Decode with Marian and the weights of a zoo Transformer of norm `post`; other norms raise ValueError."""

    def __init__(self, model: Transformer) -> None:
        if norm_of(model) != "post":
            raise ValueError("Marian has its norms after the blocks, but the model's `norm` is pre; set it to post")
        self.model = _build(dimensions_of(model), tied=is_tied(model)).eval()
        weights = rename(split_weights(model), NAMES)
        weights["final_logits_bias"] = weights["final_logits_bias"][None]
        for side in ("encoder", "decoder"):
            weights[f"model.{side}.embed_positions.weight"] = sinusoids(LONGEST, model.output.in_features)
        self.model.load_state_dict(weights)

    def greedy(self, src: Rows, max_length: int) -> list[list[int]]:
        """Return the likeliest token at each step, at most `max_length` of them, the end symbol included."""
        return self._generate(src, max_new_tokens=max_length, num_beams=1)

    def beam(self, src: Rows, width: int, max_length: int) -> list[list[int]]:
        """Return the best output of a beam search for each source; it is done when `width` outputs have ended."""
        return self._generate(src, max_new_tokens=max_length, num_beams=width, early_stopping=True, length_penalty=1.0)

    def _generate(self, src: Rows, **options: Any) -> list[list[int]]:
        input_ids = pad_sources(src)
        outputs = self.model.generate(input_ids, attention_mask=(input_ids != PAD).long(), do_sample=False, **options)
        return until_end(outputs[:, 1:].tolist())


def _build(sizes: Dimensions, *, tied: bool) -> Any:
    from transformers import MarianConfig, MarianMTModel

    config = MarianConfig(
        vocab_size=sizes.src_vocab,
        decoder_vocab_size=sizes.tgt_vocab,
        share_encoder_decoder_embeddings=False,
        tie_word_embeddings=tied,
        max_position_embeddings=LONGEST,
        d_model=sizes.d_model,
        encoder_layers=sizes.layers,
        decoder_layers=sizes.layers,
        encoder_attention_heads=sizes.nhead,
        decoder_attention_heads=sizes.nhead,
        encoder_ffn_dim=sizes.dim_feedforward,
        decoder_ffn_dim=sizes.dim_feedforward,
        dropout=sizes.dropout,
        activation_function="relu",
        scale_embedding=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        decoder_start_token_id=BOS,
        forced_eos_token_id=None,
    )
    return MarianMTModel(config)

"""CTranslate2, given the weights of a zoo Transformer through its own specification of the architecture."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from zoo.data.vocab import RESERVED
from zoo.export.translator import save_translator
from zoo.models.transformer import Transformer

from .interface import Rows

NAME = "CTranslate2"

LONGEST = 1024

SYMBOLS = ("<pad>", "<unk>", "<s>", "</s>")


def version() -> str:
    """Return the version of CTranslate2; ImportError where it is not installed."""
    import ctranslate2

    found: str = ctranslate2.__version__
    return found


class Translator:
    """Decode on the CPU with the weights of a zoo Transformer, pre- or post-norm; ids are its tokens' names.

    All sources are best given in one call: they are sorted by length and cut into batches of at most `max_batch_size`
    tokens, padding included, which `inter_threads` workers share, each of `intra_threads` threads (0: its own choice).
    """

    def __init__(
        self,
        model: Transformer,
        compute_type: str = "float32",
        *,
        inter_threads: int = 1,
        intra_threads: int = 0,
        max_batch_size: int = 512,
    ) -> None:
        import ctranslate2

        self.max_batch_size = max_batch_size
        self.tokens = _vocabulary(model.output.out_features)
        self.sources = _vocabulary(model.src_embedding.table.num_embeddings)
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        with TemporaryDirectory() as directory:
            save_translator(model, Path(directory), src_tokens=self.sources, tgt_tokens=self.tokens, longest=LONGEST)
            self.translator = ctranslate2.Translator(
                directory, compute_type=compute_type, inter_threads=inter_threads, intra_threads=intra_threads
            )

    def greedy(self, src: Rows, max_length: int) -> list[list[int]]:
        """Return the likeliest token at each step, at most `max_length` of them, the end symbol included."""
        return self._translate(src, beam_size=1, max_decoding_length=max_length)

    def beam(self, src: Rows, width: int, max_length: int) -> list[list[int]]:
        """Return the best output of a beam search for each source; it is done when `width` outputs have ended."""
        return self._translate(src, beam_size=width, max_decoding_length=max_length)

    def _translate(self, src: Rows, **options: Any) -> list[list[int]]:
        results = self.translator.translate_batch(
            [[self.sources[index] for index in row] for row in src],
            max_batch_size=self.max_batch_size,
            batch_type="tokens",
            min_decoding_length=0,
            max_input_length=0,
            length_penalty=1.0,
            **options,
        )
        return [[self.ids[token] for token in result.hypotheses[0]] for result in results]


def _vocabulary(size: int) -> list[str]:
    return [*SYMBOLS, *map(str, range(RESERVED, size))]

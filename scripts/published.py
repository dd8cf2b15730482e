"""What others have published: figures on test parts of models trained from scratch, to be read beside ours."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A line of the table of results: what it is of (`recipe`, `task`, `metrics`), and what others reached."""

    title: str
    recipe: str
    task: str
    metrics: tuple[str, ...]
    single: str
    ensemble: str = ""


RATES = ("sequence_error_rate", "token_error_rate")
"""WER and PER of pronunciation."""
LEADERBOARD = (
    Entry("SIGMORPHON 2020, 15 languages, WER / PER %", "sigmorphon2020", "macro", RATES,
          "LSTM 16.84 / 3.99, Transformer 17.51 / 4.30, best single 15.4 to 16.3", "IMS 13.81 / 2.76"),
    Entry("the same, Korean, WER / PER %", "sigmorphon2020", "kor", RATES,
          "with jamo: WER 28.26, Transformer: 43.78", "best submission: WER 24.00"),
    Entry("CMUdict g014b2b, WER / PER %", "cmudict", "", RATES,
          "LSTM 2x512: WER 23.3, Transformer 3x256: 20.6",
          "with attention: WER 20.24, distilled with extra words: 19.88"),
    Entry("Multi30k en-de, BLEU", "multi30k", "", ("bleu",), "Transformer-tiny 41.02 (test 2016)"),
    Entry("NSMC, accuracy %", "nsmc", "", ("accuracy",), "CNN 85.84, self-attention 86.37", "stacked BiLSTM 88.95"),
    Entry("TREC-6, accuracy %", "trec6", "", ("accuracy",), "CNN 88.2 to 92.0"),
    Entry("SST-2, accuracy %", "sst2", "", ("accuracy",), "CNN, with phrases 83.5"),
    Entry("R8, accuracy %", "r8", "", ("accuracy",), "fastText 96.1, BiLSTM 96.3, TextGCN 97.1"),
    Entry("IMDB, own test part, films seen in training, accuracy %", "imdb", "", ("accuracy",),
          "LSTM 88.4, NB-SVM trigrams 91.8"),
)  # fmt: skip

SIGMORPHON = {
    "ady": (28.00, 28.44, 24.67),
    "arm": (14.67, 14.22, 12.22),
    "bul": (31.11, 34.00, 22.22),
    "dut": (16.44, 15.78, 13.56),
    "fre": (6.22, 6.89, 5.11),
    "geo": (26.44, 28.00, 24.89),
    "gre": (18.89, 18.89, 14.44),
    "hin": (6.67, 9.56, 5.11),
    "hun": (5.33, 5.33, 4.00),
    "ice": (10.00, 10.22, 9.11),
    "jpn": (7.56, 7.33, 4.89),
    "kor": (46.89, 43.78, 24.00),
    "lit": (19.11, 20.67, 18.67),
    "rum": (10.67, 12.00, 9.78),
    "vie": (4.67, 7.56, 0.89),
}
"""WER % of the LSTM, of the Transformer and of the best submission for each language (Gorman et al., 2020)."""

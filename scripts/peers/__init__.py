"""Other implementations behind one interface, one module for each; what is not installed is told by `version`."""

from . import ctranslate, fasttext, huggingface, joeynmt, textbook, texts
from .interface import Dimensions, Peer, RecurrentDimensions, Rows, Trainer, Translator

PEERS: list[Peer] = [textbook, huggingface, joeynmt, ctranslate, fasttext]

__all__ = [
    "PEERS",
    "Dimensions",
    "Peer",
    "RecurrentDimensions",
    "Rows",
    "Trainer",
    "Translator",
    "ctranslate",
    "fasttext",
    "huggingface",
    "joeynmt",
    "textbook",
    "texts",
]

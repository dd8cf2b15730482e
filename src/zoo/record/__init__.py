"""What a run leaves to be read: TensorBoard's event file, `metrics.jsonl`, `train.log`, and lines on the console."""

from zoo.record.attention import attention_figure
from zoo.record.confusion import confusion_figure
from zoo.record.drawing import save_figure
from zoo.record.progress import progress, show, warn
from zoo.record.projector import Cloud
from zoo.record.recorder import Recorder
from zoo.record.text import flat_options, sample_table

__all__ = [
    "Cloud",
    "Recorder",
    "attention_figure",
    "confusion_figure",
    "flat_options",
    "progress",
    "sample_table",
    "save_figure",
    "show",
    "warn",
]

"""A run's row in TensorBoard's table of runs."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

FIRST = ("dataset.name", "model.name", "optimizer.lr", "optimizer.name", "seed")
"""Options that stand in front where nothing says what tells the runs apart: TensorBoard shows five columns at first."""
COLUMNS = 5


def hparam_summaries(options: Mapping[str, Any], metrics: Iterable[str], *, swept: Collection[str] = ()) -> list[Any]:
    """Return the summaries that enter a run into the table: its columns, its options, and that it has ended.

    TensorBoard takes the columns from one of the runs, no matter which, and puts those in front that are said to
    differ: the `swept` options, filled up with `FIRST`. `metrics` names the scalars `hparam/<name>` in their order,
    those of other runs too.
    """
    from tensorboard.plugins.hparams import api_pb2 as api
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    front = [*swept, *(name for name in FIRST if name not in swept)][: max(COLUMNS, len(swept))]
    columns = [api.HParamInfo(name=name, type=_type(value, api), differs=name in front)
               for name, value in options.items()]  # fmt: skip
    shown = [api.MetricInfo(name=api.MetricName(tag=f"hparam/{name}"), display_name=name) for name in metrics]
    start = plugin_data_pb2.SessionStartInfo()
    for name, value in options.items():
        _put(start.hparams[name], value)
    end = plugin_data_pb2.SessionEndInfo(status=api.Status.Value("STATUS_SUCCESS"))
    parts: dict[str, dict[str, Any]] = {
        metadata.EXPERIMENT_TAG: {"experiment": api.Experiment(hparam_infos=columns, metric_infos=shown)},
        metadata.SESSION_START_INFO_TAG: {"session_start_info": start},
        metadata.SESSION_END_INFO_TAG: {"session_end_info": end},
    }
    return [_summary(tag, plugin_data_pb2.HParamsPluginData(**part)) for tag, part in parts.items()]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _type(value: Any, api: Any) -> Any:
    return api.DATA_TYPE_FLOAT64 if _is_number(value) else api.DATA_TYPE_STRING


def _put(field: Any, value: Any) -> None:
    """Set the value of an option; TensorBoard takes numbers and texts, so that the rest become texts."""
    if _is_number(value):
        field.number_value = value
    else:
        field.string_value = json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _summary(tag: str, data: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams import metadata

    data.version = metadata.PLUGIN_DATA_VERSION
    plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString())
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))])

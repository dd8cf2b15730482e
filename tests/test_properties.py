"""Any bytes in, either a clean result or the stated error; and what is written is what is read back."""

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from zoo.config import TrainConfig, check, from_dict, load_config, to_dict
from zoo.data import Coding, PairSizes
from zoo.data.lines import opened, read_lines, ready_lines
from zoo.data.tokenize import Codec, build_tokenizer
from zoo.data.vocab import Vocab
from zoo.errors import CheckpointError, ConfigError, DataError
from zoo.experiment.learner import Learner

KINDS = ["char", "jamo", "space", "word", "char_word", "bpe", "unigram"]
REVERSIBLE = ["char", "jamo", "char_word", "bpe", "unigram"]
TEXTS = ["the cat sat on the mat", "값이 나라 국", "a<pad>b </s>", "▁x  y", "é\u0301\u2028z"]
quick = settings(max_examples=80, deadline=None)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["${seed}", "_x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
damage = st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode())


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the ways to all values inside of a JSON value, its own first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    return [path, *(way for key, one in inner for way in places(one, (*path, key)))]


def replaced(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    """Return a JSON value with another one at a place inside."""
    if not way:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[way[0]] = replaced(value[way[0]], way[1:], new)
    return changed


@quick
@given(content=st.binary(max_size=80) | texts.map(str.encode), packed=st.booleans())
def test_lines_as_they_come_are_the_lines_of_the_whole_file(scratch: Path, content: bytes, packed: bool) -> None:
    path = scratch / ("x.gz" if packed else "x")
    path.write_bytes(gzip.compress(content) if packed else content)
    whole = ready = None
    with suppress(DataError):
        whole = [line for _, line in read_lines(str(path))]
    with suppress(DataError), opened(str(path)) as source:
        ready = [line for part in ready_lines(source) for line in part]
    assert ready == (whole if content else [])


@quick
@given(content=st.binary(max_size=80), cut=st.integers(0, 80), flipped=st.integers(0, 79))
def test_damaged_gzip_gives_lines_or_a_data_error(scratch: Path, content: bytes, cut: int, flipped: int) -> None:
    packed = bytearray(gzip.compress(content))
    packed[flipped % len(packed)] ^= 255
    for damaged in (bytes(packed), gzip.compress(content)[:cut]):
        (scratch / "y.gz").write_bytes(damaged)
        with suppress(DataError):
            assert all(isinstance(line, str) for _, line in read_lines(str(scratch / "y.gz")))


@pytest.fixture(scope="module")
def codecs() -> dict[str, Codec]:
    made = {}
    for kind in KINDS:
        tokenizer = build_tokenizer(kind, TEXTS, vocab_size=60)
        tokens = {token: 1 for text in TEXTS for token in tokenizer.split(text)}
        pieces = tokenizer.pieces() if hasattr(tokenizer, "pieces") else list(tokens)
        made[kind] = Codec(tokenizer, Vocab(pieces))
    return made


@pytest.mark.parametrize("kind", REVERSIBLE)
@quick
@given(text=texts)
def test_text_to_tokens_to_text(codecs: dict[str, Codec], kind: str, text: str) -> None:
    codec = codecs[kind]
    assert codec.normalize(codec.tokenizer.join(codec.split(text))) == codec.normalize(text)


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(rows=st.lists(texts, max_size=3), words=st.lists(st.text("the caton값", max_size=9), max_size=3))
def test_ids_to_a_file_to_ids(
    scratch: Path, codecs: dict[str, Codec], kind: str, rows: list[str], words: list[str]
) -> None:
    codecs[kind].save(scratch / kind, "text")
    read = Codec.load(scratch / kind, "text")
    for text in [*rows, *words]:
        ids = codecs[kind].encode(text)
        assert read.encode(text) == ids
        assert read.decode(ids) == codecs[kind].decode(ids)
        assert all(0 <= one < len(read.vocab) for one in ids)


@pytest.mark.parametrize("name", ["coding.json", "text.json", "text.vocab.json"])
@quick
@given(content=damage)
def test_any_vocabulary_file_gives_a_coding_or_a_data_error(
    scratch: Path, codecs: dict[str, Codec], name: str, content: bytes
) -> None:
    Coding({"text": codecs["char"]}, ["a", "b"], 0).save(scratch / "coding")
    (scratch / "coding" / name).write_bytes(content)
    with suppress(DataError):
        coding = Coding.load(scratch / "coding")
        assert coding.sizes
        assert coding.codecs["text"].decode(coding.codecs["text"].encode("ab")) in ("ab", "a", "b", "")


@quick
@given(text=st.text(max_size=60) | st.text("{}[]:-&*!|>?%@`#\n '\"a1,.", max_size=40), raw=st.binary(max_size=30))
def test_any_config_file_gives_a_config_or_a_config_error(scratch: Path, text: str, raw: bytes) -> None:
    for content in (text.encode("utf-8", "surrogatepass"), raw):
        (scratch / "config.yaml").write_bytes(content)
        with pytest.raises(ConfigError):
            load_config(scratch / "config.yaml")


OPTIONS = to_dict(TrainConfig())


@settings(max_examples=400, deadline=None)
@given(way=st.sampled_from(places(OPTIONS)), new=JSON)
def test_a_config_with_any_value_anywhere_is_read_back_equal_or_refused(
    scratch: Path, way: tuple[Any, ...], new: Any
) -> None:
    with suppress(ConfigError):
        config = from_dict(replaced(OPTIONS, way, new))
        check(config)
        text = yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)
        (scratch / "same.yaml").write_text(text, encoding="utf-8")
        assert load_config(scratch / "same.yaml") == config


@quick
@given(content=st.binary(max_size=100), cut=st.integers(0, 400), place=st.integers(0, 400), bit=st.integers(0, 7))
def test_any_checkpoint_file_is_read_as_it_was_or_refused(
    scratch: Path, content: bytes, cut: int, place: int, bit: int
) -> None:
    save_checkpoint(scratch / "c", {"model.w": torch.arange(4.0)}, {"step": 1})
    whole = (scratch / "c").read_bytes()
    flipped = bytearray(whole)
    flipped[place % len(whole)] ^= 1 << bit
    for damaged in (content, whole[: cut % len(whole)], bytes(flipped), whole + content):
        (scratch / "d").write_bytes(damaged)
        with suppress(CheckpointError):
            loaded = load_checkpoint(scratch / "d")
            assert (loaded.tensors["model.w"].tolist(), loaded.state) == ([0.0, 1.0, 2.0, 3.0], {"step": 1})


class Begun:
    """A learner after its first step, and what a checkpoint holds of it."""

    def __init__(self, config: TrainConfig) -> None:
        self.learner = Learner(config, PairSizes(9, 9), device=torch.device("cpu"), precision="fp32")
        step(self.learner)
        tensors, self.values = self.learner.capture()
        self.tensors = {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.fixture
def begun(toy: Callable[..., TrainConfig]) -> Begun:
    return Begun(toy(ema=0.9))


def step(learner: Learner) -> None:
    """Take a step with gradients of one."""
    for parameter in learner.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    learner.optimizer.step()
    assert learner.ema is not None
    learner.ema.update()


REST = {"best": {"epoch": 1, "step": 1, "value": 0.5, "loss": 2}, "bad_epochs": 0}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 999), new=JSON, which=st.integers(0, 999),
       change=st.sampled_from(["none", "gone", "shape", "type", "nan"]))  # fmt: skip
def test_a_state_with_any_value_anywhere_is_one_to_go_on_from_or_refused(
    begun: Begun, place: int, new: Any, which: int, change: str
) -> None:
    learner, tensors, values = begun.learner, begun.tensors, begun.values
    state = json.loads(json.dumps({**values, **REST}))
    ways = [way for way in places(state) if way]  # another value than a mapping is refused as the file is read
    changed = {name: tensor.clone() for name, tensor in tensors.items()}
    name = sorted(tensors)[which % len(tensors)]
    if change == "gone":
        del changed[name]
    elif change == "shape":
        changed[name] = torch.zeros(*changed[name].shape, 2)
    elif change == "type":
        changed[name] = changed[name].to(torch.int8)
    elif change == "nan":
        changed[name] = torch.full_like(changed[name].float(), float("nan"))
    with suppress(CheckpointError):
        learner.restore(Checkpoint(changed, replaced(state, ways[place % len(ways)], new)), "here")
        step(learner)
        assert learner.capture()[1]["loop"]["step"] >= 0

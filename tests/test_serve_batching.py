"""Texts of requests that come together share a batch, on one thread, and none is lost or harmed by another."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from serving import Echo

from zoo.serve.batching import Batcher
from zoo.serve.limits import Limits
from zoo.serve.question import Question, Refusal, Search


def run(model: Echo, limits: Limits, body: Callable[[Batcher], Awaitable[Any]]) -> Any:
    """Let `body` ask while a batcher of the model answers."""

    async def main() -> Any:
        batcher = Batcher(model, limits)
        async with batcher.running():
            return await body(batcher)

    return asyncio.run(main())


def ask(batcher: Batcher, *texts: str, search: Search | None = None) -> "asyncio.Task[Any]":
    return asyncio.create_task(batcher.ask(Question(list(texts), search or Search())))


def texts_of(model: Echo) -> list[list[str]]:
    return [texts for texts, _ in model.batches]


def test_requests_that_come_together_share_a_batch() -> None:
    model = Echo()

    async def body(batcher: Batcher) -> list[Any]:
        return await asyncio.gather(ask(batcher, "a", "b"), ask(batcher, "c"), ask(batcher, "d"))

    found = run(model, Limits(window=0.05), body)
    assert [[one["text"] for one in answers] for answers in found] == [["A", "B"], ["C"], ["D"]]
    assert texts_of(model) == [["a", "b", "c", "d"]]


def test_what_comes_while_the_model_computes_is_the_next_batch() -> None:
    model = Echo(0.05)

    async def body(batcher: Batcher) -> None:
        first = ask(batcher, "a")
        await asyncio.sleep(0.02)
        late = []
        for text in "bcd":
            late.append(ask(batcher, text))
            await asyncio.sleep(0.005)
        await asyncio.gather(first, *late)

    run(model, Limits(window=0), body)
    assert texts_of(model) == [["a"], ["b", "c", "d"]]
    assert len(model.threads) == 1


def test_a_lone_text_waits_no_longer_than_the_window() -> None:
    async def body(batcher: Batcher) -> float:
        begun = time.perf_counter()
        await ask(batcher, "a")
        return time.perf_counter() - begun

    assert 0.1 <= run(Echo(), Limits(window=0.1), body) < 5


def test_searches_do_not_mix_and_later_texts_do_not_overtake() -> None:
    model, wide = Echo(), Search(beam=4)

    async def body(batcher: Batcher) -> None:
        await asyncio.gather(ask(batcher, "a"), ask(batcher, "b", search=wide), ask(batcher, "c"),
                             ask(batcher, "d", search=wide))  # fmt: skip

    run(model, Limits(window=0.02), body)
    assert model.batches == [(["a", "c"], Search()), (["b", "d"], wide)]


def test_a_batch_is_no_larger_than_the_model_takes() -> None:
    model = Echo()
    run(model, Limits(), lambda batcher: ask(batcher, *map(str, range(20))))
    assert list(map(len, texts_of(model))) == [8, 8, 4]


def test_a_text_that_fails_harms_no_other() -> None:
    model = Echo()

    async def body(batcher: Batcher) -> list[Any]:
        asked = [ask(batcher, "a"), ask(batcher, "fail", "b"), ask(batcher, "c")]
        return await asyncio.gather(*asked, return_exceptions=True)

    first, failed, last = run(model, Limits(window=0.02), body)
    assert (first[0]["text"], last[0]["text"]) == ("A", "C")
    assert isinstance(failed, ArithmeticError)


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again() -> None:
    async def body(batcher: Batcher) -> tuple[Refusal, list[Any]]:
        begun = ask(batcher, "a")
        await asyncio.sleep(0.02)
        waiting = ask(batcher, "b", "c", "d")
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as caught:
            await batcher.ask(Question(["e"], Search()))
        return caught.value, await asyncio.gather(begun, waiting)

    refusal, found = run(Echo(0.1), Limits(texts=3, waiting=3, window=0), body)
    assert refusal.status == 503
    assert refusal.headers == {"Retry-After": "1"}
    assert len(found) == 2


def test_texts_that_nobody_waits_for_any_more_are_passed_over_and_make_room() -> None:
    model = Echo(0.1)

    async def body(batcher: Batcher) -> int:
        first = ask(batcher, "a")
        await asyncio.sleep(0.02)
        left, stays = ask(batcher, "b", "c"), ask(batcher, "d")
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait({left})
        waiting = batcher.waiting
        await asyncio.gather(first, stays)
        return waiting

    assert run(model, Limits(window=0), body) == 1
    assert texts_of(model) == [["a"], ["d"]]

"""Batches of texts from requests that come together, answered one after the other on one thread."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

from zoo.serve.limits import Limits
from zoo.serve.question import Question, Refusal, Search


class Answerer(Protocol):
    """What computes: `prepare` and `answer` are called on one thread, never two at a time."""

    def prepare(self) -> None: ...

    def answer(self, texts: list[str], search: Search) -> list[dict[str, Any]]: ...

    def batch_size(self, search: Search) -> int: ...


class Job(NamedTuple):
    """A text to answer."""

    text: str
    search: Search
    arrival: float
    answer: "asyncio.Future[dict[str, Any]]"


class Batcher:
    """Gathers texts of equal searches for `limits.window` seconds from the first, or while the thread is busy.

    Texts are answered in the order of their arrival, but that those with the search of the first come with it. One that
    nobody waits for any more is passed over. All state belongs to the event loop; only `Answerer` runs on the thread.
    """

    def __init__(self, answerer: Answerer, limits: Limits) -> None:
        self.answerer, self.limits = answerer, limits
        self._jobs: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    @property
    def waiting(self) -> int:
        """The number of texts that wait for the thread."""
        return len(self._jobs)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer until the end of the block."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.answerer.prepare)
        working = asyncio.create_task(self._work())
        try:
            yield
        finally:
            working.cancel()
            await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def ask(self, question: Question) -> list[dict[str, Any]]:
        """Return the answers to a question; Refusal (503) where too many texts wait already."""
        if self.waiting + len(question.texts) > self.limits.waiting:
            raise Refusal(503, "too many texts wait for the model; try again in a second", {"Retry-After": "1"})
        loop = asyncio.get_running_loop()
        jobs = [Job(text, question.search, loop.time(), loop.create_future()) for text in question.texts]
        self._jobs.extend(jobs)
        self._arrived.set()
        try:
            found = await asyncio.gather(*(job.answer for job in jobs), return_exceptions=True)
        finally:
            self._drop(jobs)
        return [_answer_of(one) for one in found]

    def _drop(self, jobs: list[Job]) -> None:
        """Forget jobs of a request that is over, in good time or not."""
        if any(job.answer.cancelled() for job in jobs):
            self._jobs = deque(job for job in self._jobs if not job.answer.cancelled())

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            if self._jobs:
                since = asyncio.get_running_loop().time() - self._jobs[0].arrival
                await asyncio.sleep(max(0.0, self.limits.window - since))
            if self._jobs:
                await self._answer(self._take())
            if not self._jobs:
                self._arrived.clear()

    def _take(self) -> list[Job]:
        """Take the first job, and others with the same search."""
        search = self._jobs[0].search
        most = self.answerer.batch_size(search)
        taken: list[Job] = []
        left: deque[Job] = deque()
        for job in self._jobs:
            (taken if job.search == search and len(taken) < most else left).append(job)
        self._jobs = left
        return taken

    async def _answer(self, jobs: list[Job]) -> None:
        """Answer jobs together; where that fails, each by itself, so that none fails for another's sake."""
        loop, texts = asyncio.get_running_loop(), [job.text for job in jobs]
        try:
            answers = await loop.run_in_executor(self._thread, self.answerer.answer, texts, jobs[0].search)
        except Exception as error:
            if len(jobs) == 1 and not jobs[0].answer.done():
                jobs[0].answer.set_exception(error)
            for job in jobs if len(jobs) > 1 else []:
                await self._answer([job])
            return
        for job, answer in zip(jobs, answers, strict=True):
            if not job.answer.done():
                job.answer.set_result(answer)


def _answer_of(found: dict[str, Any] | BaseException) -> dict[str, Any]:
    if isinstance(found, BaseException):
        raise found
    return found

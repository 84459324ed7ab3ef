"""Several answers of others at once, and no longer than a page or a person waits."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TypeVar

__all__ = ["TookTooLong", "reading"]
Item = TypeVar("Item")
Answer = TypeVar("Answer")


@contextmanager
def reading(
    ask: Callable[[Item], Answer], items: Iterable[Item], *, patience: timedelta, most: int = 8
) -> Iterator[list[tuple[Item, Callable[[], Answer]]]]:
    """`ask` for all `items`, `most` at a time; each with what gives its answer.

    That waits for it, raises what `ask` raised, and TookTooLong when the `patience` with all of them together is over
    and the answer is not there. What has not begun by the end of the context never does.
    """
    deadline = time.monotonic() + patience.total_seconds()
    pool = ThreadPoolExecutor(most)
    try:
        yield [(item, partial(_answer, pool.submit(ask, item), deadline)) for item in items]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _answer(future: "Future[Answer]", deadline: float) -> Answer:
    return future.result(max(deadline - time.monotonic(), 0))

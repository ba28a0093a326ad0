"""A bound on the processor time that some pure code may take."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TookTooLong(Exception):
    """It used up its processor time."""


@contextmanager
def in_time(cpu_s: float) -> Iterator[None]:
    """Raise TookTooLong in the code inside once it has used so much processor time.

    Processor time, so that neither a busy machine nor a process that was stopped for a while counts
    against it. Only between two steps of Python: one call into a library goes on to its end. Only
    in the main thread, which is where a consolidator works; elsewhere nothing is bounded.

    Not for code that talks to a database: the error may come between any two steps.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TookTooLong(f"more than {cpu_s:g} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)

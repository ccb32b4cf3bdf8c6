"""Signals that end a command: SIGTERM and SIGHUP do it as SIGINT does, which is Ctrl-C."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

__all__ = ["Signals"]

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Signals:
    """A context in which such a signal raises KeyboardInterrupt, so that blocks clean up and processes are stopped.

    A second signal of the same kind ends the process at once. Signals that are ignored, by nohup for instance, stay so.
    """

    received: int | None = None

    def __enter__(self) -> Self:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> NoReturn:
        self.received = number
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    @property
    def status(self) -> int:
        """The exit status by convention: 128 and the number of the signal."""
        return 128 + (self.received or signal.SIGINT)

    @property
    def name(self) -> str:
        """The name of the signal."""
        return signal.Signals(self.received or signal.SIGINT).name

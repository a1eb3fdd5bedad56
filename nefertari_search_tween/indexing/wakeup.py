"""How a worker waits: for a time, for news of the outbox, until it is told to stop."""

from __future__ import annotations

import os
import select
from typing import Optional, Protocol


class NotificationListener(Protocol):
    """Where a worker hears that something was recorded."""

    def connect(self) -> bool:
        """Begin, unless begun; True when that was needed: look before you wait."""

    def fileno(self) -> Optional[int]:
        """What is readable when there are news; None: there is nothing to wait for."""

    def consume(self) -> None:
        """Take the news."""

    def close(self) -> None:
        """End."""


class Wakeup:
    """Waits that end at once when :meth:`stop` is called, from a signal handler too.

    :param news: ends a :meth:`wait` as well.
    """

    def __init__(self, listener: Optional[NotificationListener] = None) -> None:
        self.listener = listener
        self.stopped = False
        # A signal handler can't end a select by anything but a file that becomes readable.
        self._read, self._write = os.pipe()

    def stop(self) -> None:
        """End this wait and all later ones."""
        if not self.stopped:
            self.stopped = True
            os.write(self._write, b"x")

    def wait(self, seconds: float) -> bool:
        """Until there are news (True), at most *seconds* (False)."""
        if self.listener is None:
            self.pause(seconds)
            return False
        if self.listener.connect():
            return True
        number = self.listener.fileno()
        files = [self._read] if number is None else [self._read, number]
        ready, _, _ = select.select(files, [], [], seconds)
        if number not in ready:
            return False
        self.listener.consume()
        return True

    def pause(self, seconds: float) -> None:
        """For *seconds*, whatever the news."""
        select.select([self._read], [], [], seconds)

    def close(self) -> None:
        """Let go of files and connections."""
        if self.listener is not None:
            self.listener.close()
        os.close(self._read)
        os.close(self._write)

"""How a worker waits: for a time, for notifications of the outbox, until it is stopped."""

from __future__ import annotations

import os
import select
from typing import Optional

from nefertari_search_tween.interfaces.outbox import NotificationListener


class Wakeup:
    """Waits that end at once when :meth:`stop` is called, from a signal handler too.

    :param listener: its notifications end a :meth:`wait` as well.
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
        """Wait for a notification; return False if none arrived within *seconds*."""
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
        """Wait *seconds*, whatever notifications arrive."""
        select.select([self._read], [], [], seconds)

    def close(self) -> None:
        """Close files and connections."""
        if self.listener is not None:
            self.listener.close()
        os.close(self._read)
        os.close(self._write)

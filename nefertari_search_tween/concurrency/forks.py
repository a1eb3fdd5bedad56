"""What a process must not share with the one that it was forked from.

Servers fork their workers from a process that has made the application (uWSGI does, and
``gunicorn --preload``). A child has its parent's sockets, files, caches and locks, but of its
threads only the one that forked. Two processes that write to one socket read each other's answers;
a lock that another thread held is never released. So what belongs to one process is registered
here, and made again in the child before any other code runs there.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Callable, Generic, TypeVar, overload

_WATCHED: weakref.WeakSet[PerProcess] = weakref.WeakSet()


class PerProcess:
    """What each process has for itself; the constructor of a subclass calls :meth:`watch_forks`."""

    def watch_forks(self) -> None:
        """Have the methods below called, for as long as this object is referenced."""
        _WATCHED.add(self)

    def let_go(self) -> None:
        """Close what this thread has open; called at the end of start-up."""

    def before_fork(self) -> None:
        """Let go of what must not be open at a fork; called in the parent."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Replace what is the parent's. No lock that the parent made may be waited for."""


class _Fork:
    """The fork that is going on: at most one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pid = os.getpid()
        self.watched: list[PerProcess] = []

    def before(self) -> None:
        self.lock.acquire()
        self.watched = list(_WATCHED)
        for each in self.watched:
            each.before_fork()

    def in_parent(self) -> None:
        watched, self.watched = self.watched, []
        for each in watched:
            each.after_fork_in_parent()
        self.lock.release()

    def in_child(self) -> None:
        self.lock = threading.Lock()
        watched, self.watched = self.watched, []
        self._renew(watched)

    def unannounced(self) -> None:
        with self.lock:
            if self.pid != os.getpid():
                self._renew(list(_WATCHED))

    def _renew(self, watched: list[PerProcess]) -> None:
        for each in watched:
            each.after_fork_in_child()
        self.pid = os.getpid()


_fork = _Fork()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_fork.before,
        after_in_parent=_fork.in_parent,
        after_in_child=_fork.in_child,
    )


def let_go() -> None:
    """Let go of what must not be open at a fork, at the end of start-up: uWSGI forks without a
    word to Python, unless it is told to (``py-call-uwsgi-fork-hooks``)."""
    for each in list(_WATCHED):
        each.let_go()


def renew_if_forked() -> None:
    """Make what is per process again if this is the child of such a fork. Called on every request,
    must be fast."""
    if _fork.pid != os.getpid():
        _fork.unannounced()


T = TypeVar("T")


class LazyAttribute(Generic[T]):
    """``functools.cached_property`` without its lock, which all objects of a class share, and which
    a thread of the parent may hold."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: Any, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: Any) -> LazyAttribute[T]: ...

    @overload
    def __get__(self, instance: object, owner: Any) -> T: ...

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value

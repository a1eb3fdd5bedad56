"""Whose code a function is: that of the libraries below is known not to look at the request.

A document that other code renders, or an answer that other code narrows, may differ from request to
request. Code is told by the file that it was compiled from: names and modules can be copied
(``functools.wraps`` does).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any, Optional

from pyramid.threadlocal import manager

_SQLALCHEMY = "sqlalchemy"
_NEFERTARI = (
    *("nefertari", "nefertari_sqla", "nefertari_mongodb", "nefertari_guards"),
    "nefertari_search_tween",
)
_PACKAGES = (
    *(_SQLALCHEMY, "sqlalchemy_utils", "pyramid_sqlalchemy", "zope.sqlalchemy", "mongoengine"),
    *_NEFERTARI,
)


@cache
def _folders(*packages: str) -> tuple[str, ...]:
    specs = [find_spec(name) for name in packages if find_spec(name.partition(".")[0])]
    return tuple(
        os.path.join(folder, "")
        for spec in specs
        if spec is not None
        for folder in spec.submodule_search_locations or ()
    )


def _file_of(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return "" if code is None else code.co_filename


def function_of(member: Any) -> Any:
    """Return the function behind *member* of a class: a method, class method (of which it is always
    the same) or property; *member* itself if it is none of these."""
    if isinstance(member, property):
        return member.fget
    return getattr(member, "__func__", member)


def is_known(function: Any) -> bool:
    """Return True if *function* is one of the known libraries' own."""
    return _file_of(function_of(function)).startswith(_folders(*_PACKAGES))


def is_nefertari_calling(depth: int) -> bool:
    """Return True if nefertari's code, or this package's, has called a function: it asks objects
    for their ``to_dict`` and their keys, and for nothing else.

    :param depth: of the function in the stack: 1 for the one that calls this one.
    """
    code = sys._getframe(depth + 1).f_code
    return code.co_filename.startswith(_folders(*_NEFERTARI))


def listener_of(listener: Any) -> Any:
    """Return the function of an event listener that SQLAlchemy wraps; None if that is not found."""
    while _is_wrapper(listener):
        code = listener.__code__
        cells = dict(zip(code.co_freevars, listener.__closure__ or ()))
        cell = cells.get("orig_fn", cells.get("fn"))
        if cell is None:
            return None
        listener = cell.cell_contents
    return listener


def _is_wrapper(listener: Any) -> bool:
    ours = _file_of(listener).startswith(_folders(_SQLALCHEMY))
    return ours and listener.__name__.startswith("wrap")


def changes_statements(listener: Any) -> bool:
    """Return False for a listener of ``before_execute`` or ``before_cursor_execute`` without
    ``retval``: SQLAlchemy wraps it so that the statement stays what it is."""
    return not (_is_wrapper(listener) and listener.__name__.endswith("execute"))


def name_of(member: Any) -> str:
    """Return the dotted name of a function, class or member."""
    function = function_of(member)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '?')}.{name}"


def unknown_listener(listeners: Any) -> Optional[str]:
    """Return the name of the first of *listeners* that no known library registered, or that calls
    a class of the application's (a subclass of ``sqlalchemy.ext.mutable``'s); None without one."""
    for listener in listeners:
        function = listener_of(listener)
        if function is None or not is_known(function):
            return name_of(listener if function is None else function)
        for method in _methods_closed_over(function):
            if not is_known(method):
                return name_of(method)
    return None


def _methods_closed_over(function: Any) -> Iterator[Any]:
    """Yield the methods of the classes in the closure of *function*."""
    for cell in getattr(function_of(function), "__closure__", None) or ():
        for cls in getattr(cell.cell_contents, "__mro__", ()):
            for member in vars(cls).values():
                if hasattr(function_of(member), "__code__"):
                    yield member


@contextmanager
def outside_request() -> Iterator[None]:
    """Run code of the application without the current request: what it makes is for all."""
    manager.push({**manager.get(), "request": None})
    try:
        yield
    finally:
        manager.pop()

"""Which texts of errors reach the caller.

nefertari turns every exception into a 400 with the exception's text, and its engines quote their
database. Such texts have shown SQL with the view's own filters, memory addresses, file names. No
list of such forms is complete, so the origin decides: a text is for the caller if a ``raise``
statement of the application, of nefertari and its companions or of this package made it, because
people wrote it for one. A text that the interpreter or a library made is not, nor is one that
quotes it.
"""

from __future__ import annotations

import dis
import logging
from collections.abc import Iterator
from typing import Any

from nefertari import view as nefertari_view
from nefertari.json_httpexceptions import JHTTPBadRequest, create_json_response
from pyramid.httpexceptions import HTTPException

from nefertari_search_tween.exceptions import SearchError
from nefertari_search_tween.search.context import FLAG
from nefertari_search_tween.search.privacy import noted_parameters

log = logging.getLogger(__name__)

GENERAL = "The request can't be answered"
MAX_NAMED = 10
#: packages whose ``raise`` statements speak to callers, besides the application's
_PACKAGES = frozenset(
    {
        __name__.partition(".")[0],
        "nefertari",
        "nefertari_sqla",
        "nefertari_mongodb",
        "nefertari_guards",
        "ramses",
    }
)
#: shorter lines occur by chance
_MIN_QUOTE = 4


def install() -> None:
    """Replace the views that nefertari's ``nefertari.view`` registers; idempotent."""
    nefertari_view.key_error_view = _key_error_view
    nefertari_view.value_error_view = _value_error_view
    nefertari_view.error_view = _error_view


def _key_error_view(context: KeyError, request: Any) -> Any:
    if not _is_name(context):
        return _general(context, request)
    return JHTTPBadRequest(f"Bad or missing param '{context.args[0]}'")


def _value_error_view(context: ValueError, request: Any) -> Any:
    if not is_presentable(context, request.registry):
        return _general(context, request)
    return JHTTPBadRequest(f"Bad or missing value '{_text(context)}'")


def _error_view(context: Exception, request: Any) -> Any:
    if not is_presentable(context, request.registry):
        return _general(context, request)
    return JHTTPBadRequest(_text(context))


def _is_name(error: BaseException) -> bool:
    """Return True for the name of a missing parameter: a dict raises it, no statement."""
    return isinstance(error, KeyError) and len(error.args) == 1 and isinstance(error.args[0], str)


def _text(error: BaseException) -> str:
    return str(error.args[0]) if error.args else str(error)


def _general(error: BaseException, request: Any) -> Any:
    log.warning("the text of an error is not shown to its caller", exc_info=error)
    return JHTTPBadRequest(_general_text(request))


def _general_text(request: Any) -> str:
    """Return a message that names what the caller can change."""
    try:
        names = [name[:60] for name in noted_parameters(request) if name != FLAG][:MAX_NAMED]
    except UnicodeDecodeError:
        return f"{GENERAL}: the query string is not UTF-8"
    return f"{GENERAL} with these parameters: {', '.join(names)}" if names else GENERAL


def remove_internal_texts(error: HTTPException, request: Any) -> None:
    """Remove texts that are not for the caller of *request* from *error*, a response."""
    # This package's own responses say on purpose what a parser did not understand.
    if isinstance(error, SearchError):
        return
    internal = list(_internal(error, request.registry))
    if not internal:
        return
    texts = [str(getattr(error, name, None) or "") for name in ("detail", "explanation", "comment")]
    if any(_quotes(text, each) for text in texts for each in internal):
        log.warning("the text of an error is not shown to its caller", exc_info=error)
        error.detail = error.message = _general_text(request)
        error.explanation = type(error).explanation
        error.comment = None
    if error.content_type == "application/json":
        # Without nefertari's "extra", which holds the error itself.
        create_json_response(error, request=request)


def is_presentable(error: Exception, registry: Any) -> bool:
    """Return True if the text of *error*, which is no response, is for callers."""
    if not _is_written(error, registry):
        return False
    text = _text(error)
    return not any(_quotes(text, each) for each in _internal(error, registry))


def _internal(error: BaseException, registry: Any) -> Iterator[BaseException]:
    """Yield the errors behind *error* whose texts are not for callers."""
    visited = {id(error)}
    pending = [error.__cause__, error.__context__]
    while pending:
        each = pending.pop()
        if each is None or id(each) in visited:
            continue
        visited.add(id(each))
        pending += [each.__cause__, each.__context__]
        if not _is_written(each, registry):
            yield each


def _is_written(error: BaseException, registry: Any) -> bool:
    """Return True if the text of *error* itself was written for callers."""
    if isinstance(error, HTTPException) or _is_name(error):
        return True
    # Ours that are no responses hold what a backend has answered.
    return not isinstance(error, SearchError) and _is_raised_by(error, registry)


def _is_raised_by(error: BaseException, registry: Any) -> bool:
    """Return True if a ``raise`` statement of the application's, nefertari's or our code raised
    *error*: what the interpreter raises in a line of theirs was not written by them."""
    traceback = error.__traceback__
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    if package not in _PACKAGES and package not in _application_packages(registry):
        return False
    return dis.opname[frame.f_code.co_code[traceback.tb_lasti]] == "RAISE_VARARGS"


def _application_packages(registry: Any) -> set[str]:
    """Return the names of the packages that the application's views and models are in."""
    views = [resource.view for resource in getattr(registry, "_resources_map", {}).values()]
    classes = [each for view in views for each in (view, getattr(view, "Model", None))]
    names = {str(getattr(registry, "package_name", ""))}
    names.update(each.__module__ for each in classes if isinstance(each, type))
    return {name.partition(".")[0] for name in names}


def _quotes(text: str, error: BaseException) -> bool:
    """Return True if *text* has a line of the text of *error* in it."""
    lines = (line.strip() for line in str(error).splitlines())
    return any(len(line) >= _MIN_QUOTE and line in text for line in lines)

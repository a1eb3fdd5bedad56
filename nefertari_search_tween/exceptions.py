"""One root for every error of this package, and what each becomes over HTTP.

=====================  ======  =========================================
exception              status  when
=====================  ======  =========================================
ConfigurationError     (none)  at start: a bad setting, a missing extra
BadQuery               400     a request that can't be understood
SearchUnavailable      503     the mirror is down, not built or stale
SearchTimeout          504     the search took longer than allowed
SearchRejected         500     the backend rejected a query that we made
=====================  ======  =========================================

The HTTP ones are nefertari's own HTTP exceptions of that status, which applications catch; and
so Pyramid's, which nefertari's catch-all exception views (they turn every other exception into a
400) never see.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from nefertari.json_httpexceptions import (
    JHTTPBadRequest,
    JHTTPGatewayTimeout,
    JHTTPInternalServerError,
    JHTTPServiceUnavailable,
)
from pyramid.httpexceptions import (
    HTTPBadRequest,
    HTTPException,
    HTTPGatewayTimeout,
    HTTPInternalServerError,
    HTTPServiceUnavailable,
)

RETRY_AFTER_SECONDS = 5


class Reason(str, Enum):
    """Why the primary answered, or no engine did: the word in the ``X-Search-Engine`` header."""

    # The decision, before anything was read.
    SEARCH_FALSE = "search-false"
    READ_FROM_PRIMARY = "read-from-primary"
    NOT_MIRRORED = "not-mirrored"
    NOT_READ = "not-read"
    NOT_SEARCHED = "not-searched"
    # A transparent read that the mirror can't answer exactly.
    UNSUPPORTED_PARAMETER = "unsupported-parameter"
    UNSUPPORTED_SORT = "unsupported-sort"
    COLLATION = "collation"
    CUSTOM_TO_DICT = "custom-to-dict"
    INEXACT_VALUES = "inexact-values"
    DEEP_PAGINATION = "deep-pagination"
    OPEN_TRANSACTION = "open-transaction"
    USED_AS_QUERY = "used-as-query"
    VIEW_FILTER = "view-filter"
    # The mirror or its backend at this moment.
    STALE = "stale"
    UNAVAILABLE = "unavailable"
    NO_INDEX = "no-index"
    SCHEMA_MISMATCH = "schema-mismatch"
    TIMEOUT = "timeout"
    DENIED = "denied"
    BUSY = "busy"
    NOT_STARTED = "not-started"
    QUERY_REJECTED = "query-rejected"
    # The request itself.
    BAD_REQUEST = "bad-request"
    FORBIDDEN = "forbidden"

    def __str__(self) -> str:
        return self.value


def _retry_after() -> list[tuple[str, str]]:
    return [("Retry-After", str(RETRY_AFTER_SECONDS))]


class SearchError(Exception):
    """Root of all errors of this package."""


class ConfigurationError(SearchError):
    """The application can't start with these settings."""


class BadQuery(SearchError, JHTTPBadRequest):
    """A query string that can't be understood; the message names the parameter.

    :param parameter: the query string parameter at fault.
    :param problem: what is wrong with it, for the caller to read.
    """

    def __init__(self, parameter: str, problem: str) -> None:
        name = parameter if len(parameter) <= 80 else parameter[:77] + "..."
        # Not nefertari's constructor, which writes every such request to the log with a stack.
        HTTPBadRequest.__init__(self, f"Bad parameter '{name}': {problem}")
        self.parameter = parameter


class SearchUnavailable(SearchError, JHTTPServiceUnavailable):
    """The mirror can't answer now; the caller may try again.

    :param reason: for the ``X-Search-Engine`` header.
    :param message: a sentence for the caller.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        HTTPServiceUnavailable.__init__(self, message, headers=_retry_after())
        self.reason = reason


class SearchTimeout(SearchError, JHTTPGatewayTimeout):
    """The search took longer than ``nefertari_search.search_timeout``."""

    reason = Reason.TIMEOUT

    def __init__(self, message: str) -> None:
        HTTPGatewayTimeout.__init__(self, message, headers=_retry_after())


class SearchRejected(SearchError, JHTTPInternalServerError):
    """The backend refused a query that this package wrote: a defect of ours."""

    def __init__(self, message: str) -> None:
        HTTPInternalServerError.__init__(self, message)


#: A value that no field of the primary's can equal (see ``interfaces.primary.Semantics``).
NOTHING = object()


class Unanswerable(SearchError):
    """A transparent read that the mirror can't answer exactly: the primary will.

    Never leaves the package.

    :param reason: for the ``X-Search-Engine`` header.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class BackendError(SearchError):
    """Root of what a backend raises."""


class BackendUnavailable(BackendError):
    """No answer: connection refused or lost, node closed, server overloaded."""


class BackendUntrusted(BackendUnavailable):
    """No safe connection: the certificate is not to be trusted, or the server speaks no TLS."""


class BackendTimeout(BackendError):
    """No answer in time."""


class IndexMissing(BackendError):
    """The index or alias does not exist."""


def innermost_error(details: Any) -> Any:
    """Return the innermost ``error`` object of a server's response."""
    while isinstance(details, dict) and isinstance(details.get("error"), dict):
        details = details["error"]
    return details


class BackendRejected(BackendError):
    """The backend understood the request and refused it.

    :param status: the HTTP status that the backend gave.
    :param details: its error object, never dropped.
    """

    def __init__(self, status: int, details: Any) -> None:
        super().__init__(f"{status}: {details}")
        self.status = status
        self.details = details

    @property
    def reason(self) -> str:
        """What the error object says in words, all of it when it has none."""
        error = innermost_error(self.details)
        return str(error.get("reason", error)) if isinstance(error, dict) else str(error)

    @property
    def kind(self) -> str:
        """The type of the error object, empty when it has none."""
        error = innermost_error(self.details)
        return str(error.get("type", "")) if isinstance(error, dict) else ""


class BackendDenied(BackendError):
    """The backend does not know these credentials (401), or they may not do this (403).

    :param status: the HTTP status that the backend gave.
    :param details: its error object, never dropped.
    :param advice: which setting to look at.
    """

    def __init__(self, status: int, details: Any, advice: str) -> None:
        super().__init__(f"{advice}: {status}: {details}")
        self.status = status
        self.details = details
        self.advice = advice


class TooManyClauses(BackendRejected):
    """The query has more words, values and ranges than the backend takes."""


def http_error_view(context: HTTPException, request: Any) -> HTTPException:
    """Exception view: give our errors nefertari's JSON body."""
    from nefertari.json_httpexceptions import create_json_response

    create_json_response(context, request=request)
    return context

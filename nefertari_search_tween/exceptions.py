"""All errors of this package, under one root, and their HTTP statuses.

=====================  ======  =========================================
exception              status  when
=====================  ======  =========================================
ConfigurationError     (none)  start-up: a bad setting, a missing extra
BadQuery               400     a request that can't be understood
SearchUnavailable      503     the mirror is down, not built or stale
SearchTimeout          504     the search took longer than allowed
SearchRejected         500     the backend rejected our own query
=====================  ======  =========================================

The HTTP errors are nefertari's own HTTP exceptions of that status, which applications catch. So
they are Pyramid's, too, and nefertari's catch-all exception views, which turn every other exception
into a 400, never get them.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from nefertari.json_httpexceptions import (
    JHTTPBadRequest,
    JHTTPGatewayTimeout,
    JHTTPInternalServerError,
    JHTTPServiceUnavailable,
    create_json_response,
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
    """Why the primary answered, or neither did, as in the ``X-Search-Engine`` header."""

    # Decided before any read.
    SEARCH_FALSE = "search-false"
    READ_FROM_PRIMARY = "read-from-primary"
    NOT_MIRRORED = "not-mirrored"
    NOT_READ = "not-read"
    NOT_SEARCHED = "not-searched"
    # A transparent read that the mirror can't answer exactly.
    UNSUPPORTED_PARAMETER = "unsupported-parameter"
    UNSUPPORTED_SORT = "unsupported-sort"
    UNPROVEN_FIELD = "unproven-field"
    COLLATION = "collation"
    CUSTOM_TO_DICT = "custom-to-dict"
    REQUEST_HOOKS = "request-hooks"
    ROW_SECURITY = "row-security"
    INEXACT_VALUES = "inexact-values"
    UNTRACKED = "untracked"
    DEEP_PAGINATION = "deep-pagination"
    OPEN_TRANSACTION = "open-transaction"
    USED_AS_QUERY = "used-as-query"
    VIEW_FILTER = "view-filter"
    # The current state of the mirror or its backend.
    STALE = "stale"
    UNAVAILABLE = "unavailable"
    NO_INDEX = "no-index"
    SCHEMA_MISMATCH = "schema-mismatch"
    FOREIGN_INDEX = "foreign-index"
    NAME_CONFLICT = "name-conflict"
    TIMEOUT = "timeout"
    PRIMARY_TIMEOUT = "primary-timeout"
    DENIED = "denied"
    BLOCKED = "blocked"
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


class MappingRefused(ConfigurationError):
    """The backend can't hold documents of one model: it alone has no mirror."""


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
    """The backend rejected a query that this package built: a defect of the package."""

    def __init__(self, message: str) -> None:
        HTTPInternalServerError.__init__(self, message)


#: A value that no field of the primary's can equal (see ``interfaces.primary.Semantics``).
NOTHING = object()


class Unanswerable(SearchError):
    """The mirror can't answer a transparent read exactly, so the primary does.

    It never leaves the package.

    :param reason: for the ``X-Search-Engine`` header.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class BackendError(SearchError):
    """Root of what a backend raises."""


class BackendUnavailable(BackendError):
    """No response: connection refused or lost, node closed, server overloaded."""


class BackendUntrusted(BackendUnavailable):
    """No secure connection: the certificate is not trusted, or the server does not use TLS."""


class UnsupportedServer(BackendUnavailable):
    """What answers is not the product that the settings name, or too old a version of it."""


class BackendTimeout(BackendError):
    """No response in time."""


class IndexMissing(BackendError):
    """The index or alias does not exist."""


class ForeignIndex(BackendError):
    """The index belongs to another database: it is neither read nor written nor deleted."""


class NameConflict(BackendError):
    """An index has the name that is to be the alias of a mirror's index."""


def innermost_error(details: Any) -> Any:
    """Return the innermost ``error`` object of a server's response."""
    while isinstance(details, dict) and isinstance(details.get("error"), dict):
        details = details["error"]
    return details


def _in_one_line(details: Any) -> str:
    # A proxy's response is a page.
    return " ".join(str(details).split())


class BackendRejected(BackendError):
    """The backend understood the request and rejected it.

    :param status: the HTTP status of the response.
    :param details: its error object, never dropped.
    """

    def __init__(self, status: int, details: Any) -> None:
        super().__init__(f"{status}: {_in_one_line(details)}")
        self.status = status
        self.details = details

    @property
    def reason(self) -> str:
        """The reason in the error object, all of the object if it has none."""
        error = innermost_error(self.details)
        return str(error.get("reason", error)) if isinstance(error, dict) else str(error)

    @property
    def kind(self) -> str:
        """The type in the error object, empty if it has none."""
        error = innermost_error(self.details)
        return str(error.get("type", "")) if isinstance(error, dict) else ""


class EmbeddedRejected(BackendRejected):
    """The embedded backend rejected a request: its reason is this package's own text, so callers
    may read it. Those of servers name classes, shards and indices."""


class BackendDenied(BackendError):
    """The backend does not accept these credentials (401), or does not permit the request (403).

    :param status: the HTTP status of the response.
    :param details: its error object, never dropped.
    :param advice: names the setting to check.
    """

    def __init__(self, status: int, details: Any, advice: str) -> None:
        super().__init__(f"{advice}: {status}: {_in_one_line(details)}")
        self.status = status
        self.details = details
        self.advice = advice

    @property
    def asks_for_credentials(self) -> bool:
        """True if there are none, or wrong ones; False if theirs may not do it."""
        return self.status == 401


class BackendBlocked(BackendDenied):
    """An index, or the cluster, has a block against the request, whoever sends it."""


class TooManyClauses(BackendRejected):
    """The query has more terms, values and ranges than the backend accepts."""


def http_error_view(context: HTTPException, request: Any) -> HTTPException:
    """Return this package's errors with nefertari's JSON body; an exception view."""
    create_json_response(context, request=request)
    return context

"""Where mirrors live. Backends know nothing of models, requests or databases."""

from __future__ import annotations

from typing import Optional

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.backends.connection import Connection


def make_backend(kind: str, place: Optional[str], connection: Connection) -> Backend:
    """The backend that the settings ask for.

    :param kind: ``elasticsearch``, ``opensearch`` or ``embedded``.
    :param place: directory of an embedded one.
    :param connection: how a server is reached; an embedded backend takes its time-out alone.
    :raises ConfigurationError: what it needs is not installed.
    """
    if kind == "embedded":
        from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend

        assert place is not None, "an embedded backend has a directory"
        return EmbeddedBackend(place, connection.search_timeout)
    if kind == "opensearch":
        from nefertari_search_tween.backends.opensearch import OpenSearchBackend

        return OpenSearchBackend(connection)
    from nefertari_search_tween.backends.elasticsearch import ElasticsearchBackend

    return ElasticsearchBackend(connection)

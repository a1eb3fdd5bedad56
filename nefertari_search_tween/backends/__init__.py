"""Search backends, which hold the mirrors. They know nothing of models, requests or databases."""

from __future__ import annotations

from typing import Optional

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.backends.connection import Connection


def make_backend(kind: str, directory: Optional[str], connection: Connection) -> Backend:
    """Return the backend that the settings select.

    :param kind: ``elasticsearch``, ``opensearch`` or ``embedded``.
    :param directory: of an embedded backend, None for a server.
    :param connection: how a server is reached; an embedded backend uses only its time-out.
    :raises ConfigurationError: a package that it needs is not installed.
    """
    if kind == "embedded":
        from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend

        assert directory is not None, "an embedded backend has a directory"
        return EmbeddedBackend(directory, connection.search_timeout)
    if kind == "opensearch":
        from nefertari_search_tween.backends.opensearch import OpenSearchBackend

        return OpenSearchBackend(connection)
    from nefertari_search_tween.backends.elasticsearch import ElasticsearchBackend

    return ElasticsearchBackend(connection)

"""The limit of the primary's time, on nefertari_mongodb."""

from __future__ import annotations

import pytest

from tests.support import mongodb as on_mongodb

pytestmark = pytest.mark.mongodb


def test_a_read_that_takes_too_long_is_ended(
    mongodb: dict[str, str], backend_url: str, module_prefix: str
) -> None:
    # Less than any answer of a server takes.
    limited = {"nefertari_search.primary_timeout": "0.001"}
    app = on_mongodb.zoo(mongodb, backend_url, module_prefix, **limited)
    response = app.get("/keepers?_search=false", status=503)
    assert response.json["status_code"] == 503
    assert response.headers["Retry-After"]
    assert response.headers["X-Search-Engine"] == "none; reason=primary-timeout"
    # Nothing of the limit is left behind.
    assert app.get("/keepers").json["data"] == []

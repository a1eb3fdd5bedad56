"""The application that the modules here ask; each has one of its own."""

from __future__ import annotations

import pytest

from tests.apps.private_fields.contents import filled
from tests.apps.private_fields.running import Club


@pytest.fixture(scope="module")
def club(tmp_path_factory, backend_url, module_prefix):
    """The application, filled."""
    club = Club(tmp_path_factory.mktemp("members"), backend_url, module_prefix)
    yield from filled(club)

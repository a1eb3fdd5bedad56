"""Nothing passes beside the gate if the index is the database, too.

The application and the questions are those of read/privacy.
"""

from __future__ import annotations

import pytest

from tests.apps.private_fields.contents import filled
from tests.apps.private_fields.running import Club
from tests.read.privacy.gate_tests import *  # noqa: F403 - run here, too

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def club(tmp_path_factory, backend_url, module_prefix):
    """The application without a database of its own, filled."""
    variables = {"engine": "nefertari_search_tween.engine", "tunneling": "true"}
    club = Club(tmp_path_factory.mktemp("members"), backend_url, module_prefix, **variables)
    yield from filled(club)

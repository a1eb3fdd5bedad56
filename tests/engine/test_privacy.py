"""Hidden fields stay private if the index is the database, too.

The application and the questions are those of
read/privacy/test_hidden_fields.py. Documents of relationships are in
indices of their own there, so other code looks into them.
"""

from __future__ import annotations

import pytest

from tests.apps.private_fields.contents import filled
from tests.apps.private_fields.running import Club
from tests.read.privacy.test_hidden_fields import (  # noqa: F401 - run here, too
    test_a_hidden_field_is_one_that_does_not_exist,
    test_admins_name_every_field,
    test_fields_are_for_who_may_name_them,
    test_hidden_fields_may_be_allowed,
    test_public_limits,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def club(tmp_path_factory, backend_url, module_prefix):
    """The application without a database of its own, filled."""
    folder = tmp_path_factory.mktemp("members")
    club = Club(folder, backend_url, module_prefix, engine="nefertari_search_tween.engine")
    yield from filled(club)


def test_an_aggregation_goes_around_no_rendering(club):
    """What a model's own ``to_dict`` leaves out is stored: an aggregation would show it."""
    path = "/drafts?_aggs.a.top_hits.size=1"
    try:
        club.start(trusted="")
        counted = f"{path}&_aggs.b.value_count.field=title"
        for each in (path, counted, path.replace("?", ",stories?")):
            refused = club.ask(each, "ann")
            assert refused.status == 400 and "Draft.to_dict" in refused.text, each
            assert "secretone" not in refused.text
        assert club.ask("/drafts?_aggs.a.value_count.field=title", "ann").status == 200
        assert club.ask("/stories?_aggs.a.top_hits.size=1", "ann").status == 200
    finally:
        club.start()
    assert club.ask(path, "ann").status == 200

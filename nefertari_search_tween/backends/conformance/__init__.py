"""What every backend has to do, as tests: run them against your own.

A subclass gives a fixture ``backend`` (of class scope or wider), and ``connect`` when there is
a server that can be away::

    class TestMine(BackendConformance):
        @pytest.fixture(scope="class")
        @classmethod
        def backend(cls, tmp_path_factory):
            return MyBackend(tmp_path_factory.mktemp("mirrors"))

The cases keep to indices whose names begin with ``conformance-`` and delete them afterwards.
"""

import pytest

# Assertions of a package that is not a test module show their values only when asked to.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "corpus",
            "indices",
            "writes",
            "conditions",
            "queries",
            "pages",
            "several",
            "aggregations",
            "faults",
        )
    )
)

from nefertari_search_tween.backends.conformance.aggregations import (  # noqa: E402
    AggregationCases,
)
from nefertari_search_tween.backends.conformance.conditional_writes import ConditionCases  # noqa: E402
from nefertari_search_tween.backends.conformance.faults import FaultCases  # noqa: E402
from nefertari_search_tween.backends.conformance.indices import IndexCases  # noqa: E402
from nefertari_search_tween.backends.conformance.multi_search import SeveralCases  # noqa: E402
from nefertari_search_tween.backends.conformance.paging import PageCases  # noqa: E402
from nefertari_search_tween.backends.conformance.queries import QueryCases  # noqa: E402
from nefertari_search_tween.backends.conformance.writes import WriteCases  # noqa: E402

__all__ = ["BackendConformance"]


class BackendConformance(
    IndexCases,
    WriteCases,
    ConditionCases,
    QueryCases,
    PageCases,
    SeveralCases,
    AggregationCases,
    FaultCases,
):
    """All cases, in the order in which a new backend will want to pass them."""

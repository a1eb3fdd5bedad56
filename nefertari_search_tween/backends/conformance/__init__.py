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

import pkgutil

import pytest

# Assertions of a package that is not a test module show their values only when asked to.
pytest.register_assert_rewrite(
    *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
)

from nefertari_search_tween.backends.conformance.suite import BackendConformance  # noqa: E402

__all__ = ["BackendConformance"]

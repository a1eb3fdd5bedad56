"""The lists of tests/mutants name what is there: renamed code or tests are renamed in them, too."""

from __future__ import annotations

import re
import sys

import pytest

from tests.mutants.table import TESTS
from tests.support.paths import TOP


@pytest.mark.parametrize("module", TESTS)
def test_the_module_and_its_tests_are_there(module: str) -> None:
    assert (TOP / "nefertari_search_tween" / module).is_file()
    for test in TESTS[module]:
        file, _, name = test.partition("::")
        text = (TOP / file).read_text(encoding="utf-8")
        # Of a class: its tests may be inherited.
        first = re.split(r"::|\[", name)[0]
        assert not first or re.search(rf"^(def|class) {first}\b", text, re.MULTILINE), test


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 10), reason="mutmut's operators need Python 3.10")
def test_what_is_called_equivalent_is_a_mutant_and_has_a_reason() -> None:
    from tests.mutants.__main__ import EQUIVALENTS, PACKAGE, check_entries
    from tests.mutants.equivalents import read_entries
    from tests.mutants.mutations import mutants_of

    entries = list(read_entries(EQUIVALENTS))
    assert entries
    for module in {entry.module for entry in entries}:
        here = [entry for entry in entries if entry.module == module]
        assert all(entry.reason for entry in here)
        check_entries(here, mutants_of(TOP / PACKAGE, module))

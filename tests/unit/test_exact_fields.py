"""The texts by which decimals are indexed sort and compare as the numbers do."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nefertari_search_tween.documents.exact_fields import (
    MAX_DIGITS,
    ExactDecimalField,
    ZonedTimeField,
    decimal_key,
    decimal_of,
)
from nefertari_search_tween.documents.fields import keyword_fits

# Close ones, too: of one exponent, with digits in common.
NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False),
    st.decimals(-1000, 1000, places=3),
    st.integers(-(10**25), 10**25).map(lambda number: Decimal(number).scaleb(-5)),
)


@given(NUMBERS, NUMBERS)
def test_keys_are_ordered_as_numbers(one: Decimal, other: Decimal) -> None:
    assert (decimal_key(one) < decimal_key(other)) == (one < other)
    assert (decimal_key(one) == decimal_key(other)) == (one == other)


@given(NUMBERS)
def test_a_key_holds_the_number(number: Decimal) -> None:
    assert decimal_of(decimal_key(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False))
def test_binary_numbers_are_ordered_by_their_shortest_decimals(one: float, other: float) -> None:
    field = ExactDecimalField()
    if field.fits(other):
        assert (field.to_exact(one) < field.to_exact(other)) == (one < other)


def test_whole_numbers_of_the_database_stay_whole() -> None:
    """A column of integers, whatever the model says."""
    field = ExactDecimalField(scale=2)
    for number in (-473, 9999999999999999):
        restored = field.restore(number, field.to_exact(number))
        assert (restored, type(restored)) == (number, int)


def test_the_sign_of_zero_is_restored() -> None:
    field = ExactDecimalField(scale=2)
    for text in ("-0.00", "0.00"):
        number = Decimal(text)
        assert str(field.restore(float(number), field.to_exact(number))) == text


@given(st.times(timezones=st.none() | st.timezones() | st.just(datetime.timezone.utc)))
def test_times_are_restored_with_their_offset(time: datetime.time) -> None:
    field = ZonedTimeField()
    assert field.fits(time)
    restored = field.restore(None, field.to_exact(time))
    # A zone with changing offsets has none at a time of no day.
    assert restored.replace(tzinfo=None) == time.replace(tzinfo=None)
    assert restored.utcoffset() == time.utcoffset()
    assert 0 <= field.to_exact(time) < 2**63


@pytest.mark.parametrize("number", ["9" * MAX_DIGITS, "-" + "9" * MAX_DIGITS, "1E-16383"])
def test_what_fits_is_a_keyword(number: str) -> None:
    field = ExactDecimalField()
    assert field.fits(Decimal(number))
    assert keyword_fits(field.to_exact(Decimal(number)))


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), Decimal("9" * 8190)])
def test_what_does_not_fit(value: Any) -> None:
    assert not ExactDecimalField().fits(value)


@pytest.mark.parametrize(
    ("value", "stored", "options"),
    [
        # PostgreSQL's decimals, with their scale and without.
        (Decimal("0.1000"), Decimal("0.1000"), {"scale": 4}),
        (Decimal("0.123456"), Decimal("0.123456"), {"scale": 4}),
        (Decimal("12345678901234600001"), Decimal("12345678901234600001"), {}),
        # SQLite's numbers, and what SQLAlchemy makes of them.
        (Decimal("2.67"), 2.675, {"scale": 2}),
        (Decimal("0.1234567890"), 0.12345678901234567, {}),
        (0.1, 0.1, {"asdecimal": False}),
    ],
)
def test_a_value_is_restored(value: Any, stored: Any, options: dict[str, Any]) -> None:
    field = ExactDecimalField(**options)
    restored = field.restore(float(value), field.to_exact(stored))
    assert (type(restored), str(restored)) == (type(value), str(value))

"""An enumeration of the models, which tests know without an engine."""

from __future__ import annotations

import enum


class Color(enum.Enum):
    red = "r"
    green = "g"

"""Where things are in a checkout."""

from __future__ import annotations

from pathlib import Path

#: the folder of setup.py
TOP = Path(__file__).resolve().parents[2]

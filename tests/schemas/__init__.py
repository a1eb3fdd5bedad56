"""Random schemas, random operations by every write path: each mirror equals one built from nothing.

``python -m tests.schemas`` is the long campaign; tests/write/test_schemas.py a short one.
"""

"""Random columns, values and requests: whatever the mirror answers, the primary answers the same.

``python -m tests.columns`` is the long campaign; tests/read/test_generated_columns.py a short one.

- `values`: values of columns, as Python text, and what callers write to find them
- `kinds`: columns of nefertari, of SQLAlchemy and of applications
- `databases`: which are made, and how
- `models`: random models of such columns, with rows and requests
- `application`: models served in a process of their own
- `differences`: how two answers to one request differ
- `run`: asks mirror and primary, compares, and makes what differs smaller
"""

"""Mutation tests: whether the suite notices when a line of the package's heart does something else.

``make mutants`` makes small changes to the modules of table.py, one at a time (mutations.py), runs
the tests that are to notice it, and reports the changes that none of them noticed (run.py). Those
that change nothing that a test could see are listed, with reasons, in equivalents.txt.
"""

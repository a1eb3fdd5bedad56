"""How ``make docs`` builds the pages. They are read on a code host, too: links name files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

import nefertari_search_tween

ROOT = Path(__file__).resolve().parent.parent
#: pages that are files of other folders, which a page here includes
ELSEWHERE = {
    "index": ROOT / "README.rst",
    "changes": ROOT / "CHANGES.rst",
    "films": ROOT / "examples" / "films" / "README.rst",
}

project = "nefertari_search_tween"
author = "its developers"
extensions = ["sphinx.ext.autodoc"]
html_theme = "alabaster"
html_theme_options = {"description": nefertari_search_tween.__doc__.splitlines()[0]}
exclude_patterns = ["_build"]
nitpicky = True
# Classes of other projects are named, not linked: nothing is fetched to build the pages.
nitpick_ignore_regex = [("py:.*", r"(?!nefertari_search_tween).*")]
autodoc_typehints = "none"  # the docstrings say what goes in and out


def link_files(app: Sphinx, doctree: nodes.document) -> None:
    """Turn links to files into links to their pages; a file that is not there is a warning."""
    name = app.env.docname
    source = ELSEWHERE.get(name, Path(app.srcdir) / f"{name}.rst")
    pages = {path: page for page, path in ELSEWHERE.items()}
    for node in doctree.findall(nodes.reference):
        uri: Any = node.get("refuri", "")
        if not uri or "://" in uri or uri.startswith("mailto:"):
            continue
        path = (source.parent / uri).resolve()
        if not path.is_file():
            logging.getLogger(__name__).warning("no file '%s'", uri, location=node)
        elif path in pages or path.parent == Path(app.srcdir):
            page = pages.get(path, path.stem)
            node["refuri"] = app.builder.get_relative_uri(name, page)


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", link_files)

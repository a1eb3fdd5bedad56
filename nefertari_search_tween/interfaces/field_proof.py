"""What is known of one field: where the answer of its mirror equals the primary's.

A transparent read is answered by the mirror only by proof, so a claim without one is doubted, in
words. There are four claims, because a request may need one without the others:

* **rendering**: the JSON of the document is the JSON that the primary renders;
* **equality**: a filter selects the same objects, for every value that `parameters` names;
* **order**: a sort has the same order, but for ties;
* **nulls**: the index knows which objects have no value.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from nefertari_search_tween.exceptions import Reason, Unanswerable


class Doubt(NamedTuple):
    """Why something is not known to be equal.

    :param reason: for the ``X-Search-Engine`` header.
    :param words: for the operator.
    """

    reason: Reason
    words: str


class FieldProof(NamedTuple):
    """The claims for one field: None for a proven one, else what is doubtful.

    :param parameters: in words, the values that filters are proven for; all others, and the errors
        that they may raise, are the primary's.
    """

    rendering: Optional[Doubt] = None
    equality: Optional[Doubt] = None
    order: Optional[Doubt] = None
    nulls: Optional[Doubt] = None
    parameters: str = ""


PROVEN = FieldProof()


def require(doubt: Optional[Doubt]) -> None:
    """Return if there is no *doubt*.

    :raises Unanswerable: there is.
    """
    if doubt is not None:
        raise Unanswerable(doubt.reason)

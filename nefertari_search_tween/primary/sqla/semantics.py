"""How a SQL database compares the values of a model: what transparent reads rely on.

By proof (``primary/sqla/proof``), which is made once, from the model and the database as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

from sqlalchemy import types as sqltypes

from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import Reason, Unanswerable
from nefertari_search_tween.interfaces.field_proof import FieldProof, require
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.proof.columns import read_database
from nefertari_search_tween.primary.sqla.proof.order import model_order
from nefertari_search_tween.primary.sqla.proof.prove import ProvenField, prove


class SqlaSemantics:
    """See :class:`~nefertari_search_tween.interfaces.primary.Semantics`.

    :param bind: returns the SQLAlchemy engine of the model's table.
    """

    first_sort_counts = True

    def __init__(
        self, model: Any, document_cls: type[BaseDocument], bind: Callable[[], Any]
    ) -> None:
        self.model = model
        self.document_cls = document_cls
        self._bind = bind
        self._proven: Optional[dict[str, ProvenField]] = None

    @property
    def dialect(self) -> Any:
        return self._bind().dialect

    def proof(self, name: str) -> FieldProof:
        return self._field(name).proof

    def _field(self, name: str) -> ProvenField:
        if self._proven is not None:
            return self._proven[name]
        database = read_database(self._bind(), schema.mapper_of(self.model).local_table)
        proven = prove(self.model, self.document_cls, database)
        if database.columns is not None:
            # A table that is not there yet is looked for again.
            self._proven = proven
        return proven[name]

    def nulls_first(self, descending: bool) -> bool:
        # SQLite: a null is smaller than everything; PostgreSQL: larger.
        return descending == (self.dialect.name == "postgresql")

    def default_sort(self, picked: Optional[list[str]]) -> list[str]:
        names = model_order(self.model)
        if names is None:
            raise Unanswerable(Reason.UNSUPPORTED_SORT)
        for name in names:
            proof = self.proof(name.lstrip("-"))
            # What is compared at all can be sorted, if in another order than that of the index.
            if proof.order is not None and proof.equality is not None:
                raise Unanswerable(proof.order.reason)
        relationships = schema.mapper_of(self.model).relationships
        if picked is not None and not any(name in relationships for name in picked):
            # Columns are selected, not objects: the mapper's order is none of theirs.
            return []
        return names

    def filter_value(self, name: str, value: Any) -> Any:
        field = self._field(name)
        require(field.proof.equality)
        if field.compared is None or field.exact_form is None:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        self._require_accepted(field.compared.column_type, value)
        exact = field.exact_form(field.compared, value)
        if exact is None:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return exact

    def picked(self, only: list[str], exclude: list[str]) -> list[str]:
        names = self.document_cls.fields()
        if not {each.strip("-+") for each in (*only, *exclude)} <= names.keys():
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        selected = [name for name in (only or names) if name not in exclude]
        picked = sorted({*selected, self.document_cls.pk_field()})
        if not selected or not names.keys() >= set(picked):
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        # A field has its column's name; the primary looks for an attribute of that name.
        if not all(hasattr(self.model, name) for name in picked):
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return picked

    def unloaded(self, name: str) -> Any:
        """Never called: this primary returns rows."""
        raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)

    def _require_accepted(self, column_type: Any, value: Any) -> None:
        """Return if nefertari's own validation of filter values (lengths, ranges, choices), whose
        code is known, accepts *value*: it reports the others."""
        if not isinstance(column_type, sqltypes.TypeDecorator):
            return
        if type(column_type).process_bind_param is sqltypes.TypeDecorator.process_bind_param:
            return
        try:
            column_type.process_bind_param(value, self.dialect)
        except Exception as error:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER) from error

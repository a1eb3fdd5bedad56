"""Patches that make nefertari_mongodb 0.4.2 work with current MongoEngine and PyMongo.

It was written for MongoEngine 0.9 and PyMongo 2.8, which do not install on a supported Python.
With MongoEngine 0.29 and PyMongo 4 it works except for what is patched here. Only applications
whose primary it is apply the patches, before their models are defined.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

_PATCHED = "_nefertari_search_patched"


def patch_engine() -> None:
    """Patch nefertari_mongodb in this process. Doing so twice is safe."""
    from nefertari_mongodb import documents, fields

    if getattr(documents.BaseDocument, _PATCHED, False):
        return
    setattr(documents.BaseDocument, _PATCHED, True)
    _keep_primary_keys(fields)
    _index_primary_keys_once(documents)
    _word_errors()
    if find_spec("nefertari_guards") is not None:
        from nefertari_guards.nefertari_mongodb import ACLField

        _keep_permissions(ACLField)


def _keep_primary_keys(fields: Any) -> None:
    """Make ``id = IdField(primary_key=True)`` the primary key.

    nefertari_mongodb leaves the argument out, because MongoEngine 0.9 took any field called
    ``id`` for the key. Current versions add a key ``auto_id_0``, and ``id`` stays empty.
    """
    init = fields.IdField.__init__

    def with_key(self: Any, *args: Any, **kwargs: Any) -> None:
        is_key = bool(kwargs.get("primary_key"))
        init(self, *args, **kwargs)
        if is_key:
            self.primary_key = True
            self.db_field = "_id"
            # The driver makes the value: MongoEngine must not require one.
            self.required = False

    fields.IdField.__init__ = with_key


def _index_primary_keys_once(documents: Any) -> None:
    """Let a model list its primary key among its ``indexes``.

    MongoDB has an index of ``_id`` already, and rejects every option of another one.
    """
    build = documents.BaseDocument._build_index_specs.__func__

    def without_key(cls: Any, meta_indexes: Any) -> Any:
        return [spec for spec in build(cls, meta_indexes) if not _of_key(spec)]

    documents.BaseDocument._build_index_specs = classmethod(without_key)


def _of_key(spec: dict[str, Any]) -> bool:
    return [name for name, _ in spec.get("fields", ())] == ["_id"]


def _word_errors() -> None:
    """Give MongoEngine's errors the ``message`` that nefertari_mongodb reads, which exceptions have
    not had since Python 3."""
    from mongoengine.errors import OperationError

    if not hasattr(OperationError, "message"):
        OperationError.message = property(str)


def _keep_permissions(acl_field: Any) -> None:
    """Let an object be made with an ACL of Pyramid's constants, as Ramses makes its system user.

    MongoEngine converts what is in a list recursively, and ``ALL_PERMISSIONS`` is an empty iterable
    to it: nefertari-guards would get the entry without its permissions.
    """
    convert = acl_field.to_python

    def with_permissions(self: Any, value: Any) -> Any:
        if value and isinstance(value, (list, tuple)) and isinstance(value[0], (list, tuple)):
            value = self.stringify_acl(value)
        return convert(self, value)

    acl_field.to_python = with_permissions

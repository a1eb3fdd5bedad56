"""Parcels with every class of field, notes that they nest, and ledgers of tenants."""

from __future__ import annotations

from nefertari import engine as eng
from nefertari.engine import ESBaseDocument
from pyramid.threadlocal import get_current_request

from tests.apps.zoo_models import item_fields


class Note(ESBaseDocument):
    """Shows its secret to admins only, whatever the lists of fields say."""

    __tablename__ = "partial_notes"
    _public_fields = ["id", "text", "secret"]
    _auth_fields = ["id", "text", "secret"]
    #: fields that ``to_dict`` leaves out for all but admins
    by_rendering = ("secret",)

    id = eng.IdField(primary_key=True)
    text = eng.UnicodeField()
    secret = eng.UnicodeField()
    parcel_id = eng.ForeignKeyField(
        ref_document="Parcel", ref_column="partial_parcels.id", ref_column_type=eng.IdField
    )

    def to_dict(self, **kwargs):
        data = super().to_dict(**kwargs)
        request = kwargs.get("request") or get_current_request()
        user = getattr(request, "user", None)
        if request is not None and (user is None or not type(user).is_admin(user)):
            data.pop("secret", None)
        return data


class Parcel(ESBaseDocument):
    """Everybody sees all that parcels have, if they see the parcel."""

    __tablename__ = "partial_parcels"
    _nested_relationships = ("notes",)

    vars().update(item_fields())
    title = eng.UnicodeField()
    shelf = eng.StringField()
    notes = eng.Relationship(document="Note", backref_name="parcel")


Parcel._public_fields = sorted({*item_fields(), "title", "notes"} - {"price", "prose"})
Parcel._auth_fields = sorted({*item_fields(), "title", "notes"} - {"prose"})


class Ledger(ESBaseDocument):
    """Belongs to a tenant."""

    __tablename__ = "partial_ledgers"
    _public_fields = ["id", "title", "amount"]
    _auth_fields = ["id", "title", "amount"]

    id = eng.IdField(primary_key=True)
    title = eng.UnicodeField()
    amount = eng.IntegerField()
    tenant = eng.StringField()


def includeme(config):
    if config.registry.settings.get("partial.tenants"):
        #: what all queries of the model show
        Ledger.narrowing = {"tenant": "{caller}"}

"""Objects with separate ACLs, restricted in the database to those that a caller may see."""

from __future__ import annotations

import json
from typing import Any, Callable

from sqlalchemy import func, literal_column, select

from nefertari_search_tween.primary.sqla import schema


def restrict_by_acl(model: Any, allows: Callable[[Any], bool]) -> Any:
    """Return a query for the objects of *model* whose stored ACL *allows* them to be seen.

    The ACL of every row is read: it is JSON, whose rules no query of every database can express.

    :param allows: decides by the entries of one ACL.
    """
    from pyramid_sqlalchemy import Session

    session = Session()
    key = schema.pk_attribute(model)
    keys = [each for each, acl in session.query(key, model._acl) if allows(acl)]
    query = session.query(model)
    if session.get_bind(model.__mapper__).dialect.name == "sqlite":
        # SQLite takes a limited number of values in one statement.
        table = func.json_each(json.dumps(keys))
        return query.filter(key.in_(select([literal_column("value")]).select_from(table)))
    return query.filter(key.in_(keys))

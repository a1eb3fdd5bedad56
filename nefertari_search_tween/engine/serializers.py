"""JSON of values as nefertari's engines render it."""

from __future__ import annotations

import datetime
import decimal
from functools import cache
from typing import Any

from nefertari.renderers import _JSONEncoder


def json_default(value: Any) -> Any:
    """Return the JSON value of a Python value that JSON does not have, by nefertari's rules.

    Dates, datetimes and times are rendered to the second, intervals as their seconds without
    whole days, decimals as floats.

    :raises TypeError: another type.
    """
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, datetime.time):
        return value.strftime("%H:%M:%S")
    if isinstance(value, datetime.timedelta):
        return value.seconds
    if isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class JSONEncoder(_JSONEncoder):
    """Encoder of responses: values that :func:`json_default` can't render become their ``str``."""

    def default(self, obj: Any) -> Any:
        if hasattr(obj, "to_dict"):
            return obj.to_dict()
        try:
            return json_default(obj)
        except TypeError:
            return super().default(obj)


@cache
def client_serializer() -> type:
    """Return ``ESJSONSerializer``, the serializer for an Elasticsearch client.

    Made when it is asked for: the client takes longer to import than the rest of this package.
    """
    from elasticsearch.serializer import JsonSerializer

    class ESJSONSerializer(JsonSerializer):
        """Serializer for an Elasticsearch client."""

        def default(self, data: Any) -> Any:
            try:
                return json_default(data)
            except TypeError:
                return super().default(data)

    return ESJSONSerializer

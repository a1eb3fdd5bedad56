"""Aggregations of the embedded backend: the table of their handlers."""

from nefertari_search_tween.backends.embedded.aggregations.buckets import BUCKETS
from nefertari_search_tween.backends.embedded.aggregations.histograms import HISTOGRAMS
from nefertari_search_tween.backends.embedded.aggregations.metrics import LEAVES

#: type of an aggregation -> its handler
HANDLERS = {**BUCKETS, **HISTOGRAMS, **LEAVES}

"""Cases of aggregations, in the shape of Elasticsearch's responses."""

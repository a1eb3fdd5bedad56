"""From the parameters of a request to a query of the backend."""

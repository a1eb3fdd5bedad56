"""Where mirrors live. Backends know nothing of models, requests or databases."""

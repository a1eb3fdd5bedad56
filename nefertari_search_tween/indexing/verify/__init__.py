"""Comparing mirrors with the primary, and repairing what differs."""

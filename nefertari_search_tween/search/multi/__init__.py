"""Requests that read several collections at once."""

"""Fault campaigns: programs that run for minutes, each with a short version in the suite."""

"""Threads, processes and forks, and what belongs to one of them alone."""

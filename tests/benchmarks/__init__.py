"""Alchemist beside its peers: requests per second of one core, for six operations."""

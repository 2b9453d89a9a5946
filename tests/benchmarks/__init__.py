"""Alchemist beside its peers in six operations, and alone: requests per second of one core."""

"""Stores, which sell products."""

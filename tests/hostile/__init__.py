"""Hostile input for every operation of both OpenAPI documents, and what must hold in spite of it.

The ordinary suite tries a sample in process. `python -m tests.hostile` tries far more on a real
gunicorn, raw sockets included.
"""

"""Lists on tables as large as they may become: `python -m tests.growth`."""

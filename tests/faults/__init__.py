"""What clients, load, deploys and crashes can do to the service; run by `python -m`, not by pytest."""

"""What clients, load, deploys and crashes do to the service; run by `python -m`, not by pytest."""

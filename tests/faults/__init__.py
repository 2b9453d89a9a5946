"""Harnesses that break things while clients work; each is a command, bounded, on loopback."""

"""Traces and error reports, as the programs that receive them see them."""

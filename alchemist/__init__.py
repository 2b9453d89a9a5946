"""The back end of an apothecary, over HTTP."""

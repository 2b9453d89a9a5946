"""Where the apothecary sells."""

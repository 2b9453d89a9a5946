"""Products: what a store sells, with price and stock."""

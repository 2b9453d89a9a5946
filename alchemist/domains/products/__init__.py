"""What is sold in a store, and for how much."""

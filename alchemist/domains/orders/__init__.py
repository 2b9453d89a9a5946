"""What was bought: prices, totals and stock, all of it or nothing."""

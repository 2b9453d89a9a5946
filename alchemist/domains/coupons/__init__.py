"""What makes an order cheaper, a limited number of times."""

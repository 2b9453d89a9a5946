"""Orders: items at fixed prices, with reserved stock and a redeemed coupon."""

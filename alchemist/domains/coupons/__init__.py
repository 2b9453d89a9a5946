"""Coupons: codes with a discount and a limited number of uses, and their redemptions."""

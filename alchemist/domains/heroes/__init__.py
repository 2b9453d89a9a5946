"""Heroes, for whom users order potions."""

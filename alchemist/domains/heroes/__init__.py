"""Those who drink the potions."""

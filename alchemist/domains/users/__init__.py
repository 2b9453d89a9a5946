"""Who may ask: users, their tokens, and what these permit."""

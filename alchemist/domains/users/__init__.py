"""Users, their tokens, and the permissions of both."""

"""The contracts of five v1 services, word for word, over the same rows."""

PREFIX = "/api/v1"
# When v2 took over (RFC 9745): the 20th of November 2026.
DEPRECATION_DATE = "@1795132800"

"""Which addresses are the data plane's. Everything else is Django's."""

LEAN_PATHS = ("/v1/", "/health/", "/metrics")
OF_DJANGO = frozenset(("/v1/credits", "/v1/generation", "/v1/usage"))
"""Asked seldom, and answered from PostgreSQL."""

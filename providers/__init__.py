"""Upstreams: connections, credentials, catalogue and prices, adapters, and the only dialer."""

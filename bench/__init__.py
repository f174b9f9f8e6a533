"""The comparison with peers: one machine, one mock upstream, one load, CPU microseconds per request.

Nothing in the product imports this package. `python -m bench --help` is the way in.
"""

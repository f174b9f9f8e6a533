"""The upstreams a newcomer meets before owning one: simulated providers and a tiny real model.

They are real HTTP servers that say openly what they are. Nothing here imports Django or the product.
"""

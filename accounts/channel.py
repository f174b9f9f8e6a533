"""Where it is told that an organisation's configuration changed: the name of the channel, and what a message says."""

CHANNEL = "shareai:versions"
"""A message is the organisation's id."""

PLATFORM = 0
"""Stands for the organisation id in a message about the platform's own connections."""

HEALTH = "shareai:health"
"""A message here says no more than that the health of some target changed."""

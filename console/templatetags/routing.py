"""Words of routing for the templates."""

from __future__ import annotations

from django import template

from console import route_words

register = template.Library()

register.filter("reason", route_words.reason)
register.filter("place", route_words.place)
register.filter("strategy", route_words.strategy)
register.filter("causes", route_words.causes)

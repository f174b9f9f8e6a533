"""What an organisation lets its answers be kept for: values of the snapshot, and how the one that counts is found."""

from __future__ import annotations

import msgspec

ORGANIZATION, ROUTE, MODEL, KEY = "organization", "route", "model", "key"
SCOPES = (ORGANIZATION, ROUTE, MODEL, KEY)
LONGEST_TTL_S = 30 * 24 * 3600


class Semantic(msgspec.Struct, frozen=True, gc=False):
    """By whose embeddings questions are compared, and how similar they must be: a cosine."""

    model: str
    threshold: float


class CacheRule(msgspec.Struct, frozen=True, gc=False):
    """`ttl_s` 0 keeps nothing, whatever a wider rule says. With `per_key` no key gets another key's answers."""

    ttl_s: int
    per_key: bool = False
    semantic: Semantic | None = None


class CacheRules(msgspec.Struct, frozen=True):
    """All of one organisation, by scope and then by what they are for.

    `purges` counts the purges of each name of a route or model, and under "" those of everything. The counts go into
    the keys of entries, so what was purged is out of reach in every process as soon as it knows the new count.
    """

    by_scope: dict[str, dict[str, CacheRule]] = {}
    purges: dict[str, int] = {}

    def find(self, route: str, model: str, key: str) -> CacheRule | None:
        """The narrowest rule: the key's, else the route's, else the model's, else the organisation's; None if off."""
        scopes = self.by_scope
        if not scopes:
            return None
        for scope, name in ((KEY, key), (ROUTE, route), (MODEL, model), (ORGANIZATION, "")):
            rules = scopes.get(scope)
            if rules is not None and (rule := rules.get(name)) is not None:
                return rule if rule.ttl_s > 0 else None
        return None

    def purged(self, name: str) -> tuple[int, int]:
        return self.purges.get("", 0), self.purges.get(name, 0)


NO_RULES = CacheRules()

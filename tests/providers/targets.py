"""A target for tests of what stands below the planner: where it is counts, the rest is filling."""

from __future__ import annotations

from providers.targets import Target


def target_at(base_url: str) -> Target:
    return Target(
        id=1,
        name="u/m",
        org_id=1,
        connection_id=1,
        connection_slug="u",
        connection_name="U",
        model_id="m",
        upstream_id="m",
        adapter="openai",
        transport="direct",
        base_url=base_url,
        credentials=(),
    )

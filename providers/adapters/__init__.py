"""One file per dialect. `ADAPTERS` maps the name on a connection to the adapter that speaks it."""

from __future__ import annotations

from providers.adapters.base import Adapter
from providers.adapters.openai import OpenAIAdapter

ADAPTERS: dict[str, Adapter] = {"openai": OpenAIAdapter()}

__all__ = ["ADAPTERS", "Adapter"]

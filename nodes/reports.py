"""What a connected node reports of itself, taken apart and bounded. Pure: bytes of a stranger in, values out.

A node is believed in nothing that costs somebody else anything: names and prices of models are the owner's rows,
in-flight figures the console's own. What is read here describes the machine, to its owner and to the planner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from providers.drafts import clean_model_id
from providers.errors import InvalidConnection
from providers.schema import SUFFIXES

MOST_MODELS = 200
MOST_GPUS = 32
MOST_TOKENS = 100_000_000
MOST_BYTES = 1 << 50

RUNTIMES = ("ollama", "lmstudio", "vllm", "llamacpp", "sglang", "openai")

Word = Annotated[str, msgspec.Meta(max_length=40, pattern=r"^[a-z0-9_]*$")]
Sentence = Annotated[str, msgspec.Meta(max_length=300)]
Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=MOST_BYTES)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Figure = Annotated[float, msgspec.Meta(ge=0, le=10_000_000)]


class ReportInvalid(ValueError):
    """The node says something that no agent of ours would. The message is fit for a log."""


class Capabilities(msgspec.Struct, frozen=True):
    """As the agent found out by trying; None is not tried."""

    chat: bool | None = None
    completions: bool | None = None
    embeddings: bool | None = None
    tools: bool | None = None
    json_schema: bool | None = None
    vision: bool | None = None


class Measured(msgspec.Struct, frozen=True):
    tokens_per_s: Figure | None = None
    first_token_ms: Figure | None = None


class FoundModel(msgspec.Struct, frozen=True):
    """A model that the local server listed. `context` is in tokens."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    runtime: Literal["ollama", "lmstudio", "vllm", "llamacpp", "sglang", "openai"]
    context: Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)] | None = None
    capabilities: Capabilities = Capabilities()
    measured: Measured = Measured()

    @property
    def kind(self) -> str:
        able = self.capabilities
        return "embedding" if able.embeddings and not (able.chat or able.completions) else "chat"

    @property
    def able(self) -> list[str]:
        """What it can do, sorted; empty when nothing was tried. A model that can only chat says "chat"."""
        return sorted(name for name, can in msgspec.structs.asdict(self.capabilities).items() if can)


class State(msgspec.Struct, frozen=True):
    """Whether the machine wants work now, and why not."""

    mode: Literal["always", "idle", "manual"]
    accepting: bool
    reason: Word | None = None
    detail: Sentence | None = None


class Gpu(msgspec.Struct, frozen=True):
    name: Annotated[str, msgspec.Meta(max_length=120)]
    vram_total_bytes: Bytes | None = None
    vram_used_bytes: Bytes | None = None
    load: Share | None = None


class Vitals(msgspec.Struct, frozen=True):
    """How the machine is doing. `queue` is what waits at its model server, as far as that tells."""

    gpu: Annotated[list[Gpu], msgspec.Meta(max_length=MOST_GPUS)] = []
    cpu_load: Annotated[float, msgspec.Meta(ge=0, le=100_000)] | None = None
    ram_total_bytes: Bytes | None = None
    ram_used_bytes: Bytes | None = None
    queue: Count | None = None
    in_flight: Count = 0
    on_battery: bool | None = None


class LocalServer(msgspec.Struct, frozen=True):
    """The model server on the machine. `base_url` means something there only, and is never dialled from here."""

    ok: bool
    base_url: Annotated[str, msgspec.Meta(max_length=300)] = ""
    runtime: Word | None = None
    error: Sentence | None = None
    trouble: Word = ""
    """What the error is about, for programs; agents before 0.2 do not say it."""


class Report(msgspec.Struct, frozen=True):
    """What one SETTINGS frame said; None is what it did not speak of."""

    models: Annotated[list[FoundModel], msgspec.Meta(max_length=MOST_MODELS)] | None = None
    state: State | None = None
    vitals: Vitals | None = None
    local_server: LocalServer | None = None


def parse(settings: Mapping[str, Any]) -> Report:
    """Keys that are not known here are passed over, for agents may be newer than consoles.

    Raises:
        ReportInvalid: a known key has a wrong shape or size.
    """
    try:
        report = msgspec.convert(settings, Report)
    except msgspec.ValidationError as error:
        raise ReportInvalid(str(error)) from None
    if report.models is None:
        return report
    return msgspec.structs.replace(report, models=_nameable(report.models))


def public_name(upstream_id: str) -> str:
    """The name under which callers ask for it, until the owner gives another."""
    bare, _, ending = upstream_id.rpartition(":")
    name = f"{bare}-{ending}" if bare and ending in SUFFIXES else upstream_id
    return name.replace("node/", "node-", 1) if name.startswith("node/") else name


def _nameable(models: list[FoundModel]) -> list[FoundModel]:
    """Each once, without those whose name no caller could write."""
    found: dict[str, FoundModel] = {}
    for model in models:
        if _is_nameable(model.id):
            found.setdefault(model.id, model)
    return list(found.values())


def _is_nameable(name: str) -> bool:
    try:
        return clean_model_id(name, "id", reserved=()) == name
    except InvalidConnection:
        return False

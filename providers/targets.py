"""Targets: the immutable values that the data plane plans over. Rows become targets in `providers.sources`."""

from __future__ import annotations

import msgspec

from common.rates import FinerRates

CLOUD, OWN, GUEST = "cloud", "own", "guest"
"""A third party, the organisation's own machine, a machine of another organisation that it may use."""


DATA_COLLECTION, QUANTIZATION = "data_collection", "quantization"
"""What a provider is like, among its options: `deny` where nothing asked is kept; one of `QUANTIZATIONS`."""

UNKNOWN = "unknown"
QUANTIZATIONS = ("int4", "int8", "fp4", "fp6", "fp8", "fp16", "bf16", "fp32", UNKNOWN)
"""Source: https://openrouter.ai/docs/features/provider-routing#quantization"""


LIMIT_NAME = "limit_name"
"""An option: how the most tokens of an answer have to be called."""

DROPPED_PARAMS = "dropped_params"
"""A connection's option: names of parameters that its provider cannot take, apart from those of its preset."""


class Price(msgspec.Struct, frozen=True):
    """Nano-USD per million tokens, and per request. `version` is printed on each usage row."""

    input_nanos: int
    output_nanos: int
    cached_input_nanos: int | None = None
    request_nanos: int = 0
    version: int = 1
    finer: FinerRates | None = None


class Credential(msgspec.Struct, frozen=True):
    """One vendor key of a connection. `headers` are ready to send; no repr ever shows them."""

    id: int
    public_id: str
    headers: tuple[tuple[str, str], ...]
    weight: int = 1

    def __repr__(self) -> str:
        return f"Credential({self.public_id})"


class Target(msgspec.Struct, frozen=True):
    """One addressable upstream: where, with what, which model, at which price, able to do what.

    `name` is `<connection slug>/<model id>`; `org_id` is None for the platform's own targets.

    Attributes:
        place: whose machine answers, in the eyes of the organisation whose snapshot this is in.
        node: the public id of the machine behind a tunnel; "" elsewhere. `slots` is how many requests it serves at
            a time.
        unroutable: why it gets no work, as far as stored rows tell; "" when it may.
        named_only: serves who asks for it by its name or through a route, never a model's bare name.
        dropped_params: parameters that the upstream refuses or ignores, so that they are not sent to it.
        exposure: by how much more often than others it goes first among candidates that are equal otherwise.
    """

    id: int
    name: str
    org_id: int | None
    connection_id: int
    connection_slug: str
    connection_name: str
    model_id: str
    upstream_id: str
    adapter: str
    transport: str
    base_url: str
    credentials: tuple[Credential, ...]
    kind: str = "chat"
    price: Price | None = None
    priority: int = 100
    weight: int = 1
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[str] = frozenset()
    simulated: bool = False
    options: dict[str, str] = {}
    dropped_params: frozenset[str] = frozenset()
    place: str = CLOUD
    node: str = ""
    slots: int = 0
    unroutable: str = ""
    named_only: bool = False
    exposure: float = 1.0

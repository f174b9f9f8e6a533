"""What a dialect must be able to do. Adapters are pure: values and bytes in, values and bytes out, no I/O.

request     Call + Target + Credential      → UpstreamRequest
completion  the bytes of a 200              → Completion, or UpstreamFailure
decoder     a Call                          → StreamDecoder, fed with the bytes of a stream
error       status and bytes of a non-200   → UpstreamFailure
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import msgspec

from common.rates import TokenDetails, details_within
from providers.failures import UpstreamFailure
from providers.schema import Call
from providers.targets import Credential, Target
from providers.transport import UpstreamRequest

REPORTED, COUNTED, BOUNDED, NONE = "reported", "counted", "bounded", "none"
"""Whose figures they are. BOUNDED: reported, and cut to the most that the request could use."""


class TokenUsage(msgspec.Struct, frozen=True):
    """Of one answer; `cached_tokens` are the part of `input_tokens` that the upstream read from its cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    source: str = NONE
    token_details: TokenDetails | None = None


def cut(usage: TokenUsage, input_tokens: int, output_tokens: int, source: str) -> TokenUsage:
    """With other figures, and no more of any kind of tokens than there are."""
    cached, details = min(usage.cached_tokens, input_tokens), usage.token_details
    kinds = details_within(input_tokens - cached, output_tokens, details) if details else None
    return TokenUsage(input_tokens, output_tokens, cached, source, kinds)


class Completion(msgspec.Struct, frozen=True):
    """A whole answer, in OpenAI's form, ready to be sent."""

    body: bytes
    usage: TokenUsage | None
    finish_reason: str
    text: str = ""
    unworded_tokens: int = 0
    """What it counts beside its text where its upstream told no usage."""


class StreamDecoder(ABC):
    """Follows one stream in OpenAI's form. `feed` gives back what may be sent to the caller.

    Attributes:
        committed: the first content has been seen, so that what `feed` gave must now be sent.
        finish_reason: the last one seen, "" before.
        done: the terminator was seen; it is never part of what `feed` gives.
        usage: what the upstream reported, or None.
    """

    committed: bool
    finish_reason: str
    done: bool
    usage: TokenUsage | None

    @abstractmethod
    def feed(self, chunk: bytes) -> bytes:
        """Raises UpstreamFailure for an error event, a malformed or an oversized one."""

    @abstractmethod
    def finish(self) -> bytes:
        """Called at the end of the upstream's bytes; gives what was still held back."""

    @abstractmethod
    def delivered_text(self) -> str:
        """All text that `feed` gave back so far, for counting when the upstream reported no usage."""

    @abstractmethod
    def plain_text(self) -> str | None:
        """As `delivered_text`, or None when more than the words of one answer was given: a tool's call, reasoning."""


class Adapter(ABC):
    @abstractmethod
    def request(self, call: Call, target: Target, credential: Credential | None) -> UpstreamRequest: ...

    @abstractmethod
    def completion(self, call: Call, body: bytes) -> Completion: ...

    @abstractmethod
    def decoder(self, call: Call) -> StreamDecoder: ...

    @abstractmethod
    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamFailure: ...

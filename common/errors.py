"""What ShareAI refuses, and how it says so: one tree, each leaf a code that callers can rely on.

    ShareAIError
    └── CodedError
        ├── InvalidRequest 400            ├── IdempotencyInProgress 409
        │   ├── InvalidJson               ├── IdempotencyKeyReused 409
        │   ├── UnsupportedParameter      ├── PayloadTooLarge 413
        │   └── ContextLengthExceeded     ├── UnsupportedMediaType 415
        ├── MissingApiKey 401             ├── Throttled 429 (names its scope and when to return)
        ├── InvalidApiKey 401             │   ├── RateLimitExceeded
        │   ├── KeyExpired                │   └── ConcurrencyLimitExceeded
        │   └── KeyRevoked                ├── QuotaExceeded 429
        ├── InsufficientBalance 402       ├── ClientClosedRequest 499 (logged, never sent)
        ├── BudgetExceeded 402            ├── ProviderUnavailable 502
        ├── PriceUnknown 402              ├── BadUpstreamResponse 502
        ├── PermissionRefused 403         ├── Unserviceable 503
        │   ├── ModelNotAllowed           │   ├── NoProviderAvailable
        │   ├── ProviderNotAllowed        │   ├── TemporarilyUnavailable
        │   └── IpNotAllowed              │   └── Draining
        ├── NotFound 404                  ├── UpstreamTimeout 504
        │   └── ModelNotFound             │   └── FirstTokenTimeout
        └── (further leaves of rooms)     └── InternalError 500

A message is read by a caller of the API: it never carries a key, an upstream's URL or an upstream's own text.
Rooms that need another leaf define it at home, below `CodedError`; `docs/errors.md` lists every code.
"""

from collections.abc import Mapping
from typing import Any

from common.refusal import LONGEST_USEFUL_WAIT_S
from common.refusal import CodedError as CodedError
from common.refusal import ShareAIError as ShareAIError


class InvalidRequest(CodedError):
    CODE, TYPE, STATUS = "invalid_request", "invalid_request_error", 400
    MESSAGE = "The request is not valid."


class InvalidJson(InvalidRequest):
    CODE = "invalid_json"
    MESSAGE = "The body is not valid JSON."


class UnsupportedParameter(InvalidRequest):
    CODE = "unsupported_parameter"
    MESSAGE = "A parameter is not supported by any target of this model."


class ContextLengthExceeded(InvalidRequest):
    CODE = "context_length_exceeded"
    MESSAGE = "The prompt is longer than the context of every target of this model."


class MissingApiKey(CodedError):
    CODE, TYPE, STATUS = "missing_api_key", "invalid_request_error", 401
    MESSAGE = "No API key was given. Send it as 'Authorization: Bearer <key>'."


class InvalidApiKey(CodedError):
    CODE, TYPE, STATUS = "invalid_api_key", "invalid_request_error", 401
    MESSAGE = "The API key is not valid."


class KeyExpired(InvalidApiKey):
    CODE = "key_expired"
    MESSAGE = "The API key has expired."


class KeyRevoked(InvalidApiKey):
    CODE = "key_revoked"
    MESSAGE = "The API key has been revoked."


class InsufficientBalance(CodedError):
    CODE, TYPE, STATUS = "insufficient_balance", "insufficient_quota", 402
    MESSAGE = "The balance does not cover this request."


class BudgetExceeded(CodedError):
    CODE, TYPE, STATUS = "budget_exceeded", "insufficient_quota", 402
    MESSAGE = "A budget does not cover this request."


class PriceUnknown(CodedError):
    CODE, TYPE, STATUS = "price_unknown", "insufficient_quota", 402
    MESSAGE = "No target of this model has a known price, and this key pays by use."


class PermissionRefused(CodedError):
    CODE, TYPE, STATUS = "permission_refused", "permission_error", 403
    MESSAGE = "This key may not do that."


class ModelNotAllowed(PermissionRefused):
    CODE = "model_not_allowed"
    MESSAGE = "This key may not use this model."


class ProviderNotAllowed(PermissionRefused):
    CODE = "provider_not_allowed"
    MESSAGE = "This key may not use any provider of this model."


class IpNotAllowed(PermissionRefused):
    CODE = "ip_not_allowed"
    MESSAGE = "This key may not be used from this address."


class NotFound(CodedError):
    CODE, TYPE, STATUS = "not_found", "not_found_error", 404
    MESSAGE = "There is nothing here."


class ModelNotFound(NotFound):
    CODE = "model_not_found"
    MESSAGE = "The model does not exist."


class IdempotencyInProgress(CodedError):
    CODE, TYPE, STATUS, SHOULD_RETRY = "idempotency_in_progress", "conflict_error", 409, True
    MESSAGE = "A request with this idempotency key is still being served."


class IdempotencyKeyReused(CodedError):
    CODE, TYPE, STATUS, SHOULD_RETRY = "idempotency_key_reused", "conflict_error", 409, False
    MESSAGE = "This idempotency key was used for another request."


class PayloadTooLarge(CodedError):
    CODE, TYPE, STATUS = "payload_too_large", "invalid_request_error", 413
    MESSAGE = "The body is too large."


class UnsupportedMediaType(CodedError):
    CODE, TYPE, STATUS = "unsupported_media_type", "invalid_request_error", 415
    MESSAGE = "The body's type or encoding is not supported."


class Throttled(CodedError):
    """Args: scope: whose limit was met ("key", "organisation", ...), told to the caller in the metadata."""

    TYPE, STATUS, SHOULD_RETRY = "rate_limit_error", 429, True

    def __init__(
        self,
        message: str = "",
        *,
        scope: str,
        retry_after_s: float,
        param: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            message or self.MESSAGE.format(scope=scope),
            param=param,
            metadata={"scope": scope, **(metadata or {})},
            retry_after_s=retry_after_s,
        )


class RateLimitExceeded(Throttled):
    CODE = "rate_limit_exceeded"
    MESSAGE = "The rate limit of the {scope} is reached."


class ConcurrencyLimitExceeded(Throttled):
    CODE = "concurrency_limit_exceeded"
    MESSAGE = "The {scope} has as many requests in flight as it may."


class QuotaExceeded(CodedError):
    CODE, TYPE, STATUS, SHOULD_RETRY = "quota_exceeded", "insufficient_quota", 429, False
    MESSAGE = "The quota is used up."


class ClientClosedRequest(CodedError):
    CODE, TYPE, STATUS = "client_closed_request", "client_closed_request", 499
    MESSAGE = "The caller left before the answer was complete."


class InternalError(CodedError):
    """Nobody foresaw it: the cause is in the log under the request's id, never in the answer."""

    CODE, TYPE, STATUS = "internal_error", "server_error", 500
    MESSAGE = "Something went wrong here. The request's id is in the x-request-id header."


class ProviderUnavailable(CodedError):
    """Leaves the house only after every candidate was tried, hence no further try by the SDK."""

    CODE, TYPE, STATUS, SHOULD_RETRY = "provider_unavailable", "upstream_error", 502, False
    MESSAGE = "The provider could not be reached or failed."


class BadUpstreamResponse(CodedError):
    """As `ProviderUnavailable`."""

    CODE, TYPE, STATUS, SHOULD_RETRY = "bad_upstream_response", "upstream_error", 502, False
    MESSAGE = "The provider's answer could not be understood."


class Unserviceable(CodedError):
    """Worth another try only when the time to wait is known, and short enough for the SDKs."""

    TYPE, STATUS = "service_unavailable", 503

    def __init__(
        self,
        message: str = "",
        *,
        retry_after_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            message,
            metadata=metadata,
            retry_after_s=retry_after_s,
            should_retry=retry_after_s is not None and retry_after_s <= LONGEST_USEFUL_WAIT_S,
        )


class NoProviderAvailable(Unserviceable):
    CODE = "no_provider_available"
    MESSAGE = "No target can serve this request now."


class TemporarilyUnavailable(Unserviceable):
    CODE = "temporarily_unavailable"
    MESSAGE = "Something this request needs is away for the moment."


class Draining(Unserviceable):
    CODE = "draining"
    MESSAGE = "This server is going down for maintenance."

    def __init__(self, message: str = "", *, retry_after_s: float = 1.0) -> None:
        super().__init__(message, retry_after_s=retry_after_s)


class UpstreamTimeout(CodedError):
    CODE, TYPE, STATUS, SHOULD_RETRY = "upstream_timeout", "timeout_error", 504, True
    MESSAGE = "The provider did not answer in time."


class FirstTokenTimeout(UpstreamTimeout):
    CODE = "ttft_timeout"
    MESSAGE = "The provider did not begin its answer in time."

import copy
import pickle

import pytest

from common import errors
from common.errors import (
    BadUpstreamResponse,
    CodedError,
    Draining,
    InvalidApiKey,
    InvalidJson,
    KeyRevoked,
    NoProviderAvailable,
    ProviderUnavailable,
    QuotaExceeded,
    RateLimitExceeded,
    ShareAIError,
    UpstreamTimeout,
)


def test_the_body_has_the_four_keys_even_when_there_is_nothing_to_say():
    assert InvalidJson().body() == {
        "error": {
            "message": "The body is not valid JSON.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_json",
        }
    }


def test_metadata_and_param_are_told():
    body = errors.ModelNotFound("No such model.", param="model", metadata={"asked": "x"}).body()
    assert body["error"]["param"] == "model"
    assert body["error"]["metadata"] == {"asked": "x"}


def test_the_general_error_says_what_it_is_given():
    error = ShareAIError("No.", code="c", type="t", status=418, retry_after_s=3, should_retry=True)
    assert (error.status, error.body()["error"]["code"], str(error)) == (418, "c", "No.")
    assert error.headers() == [
        (b"x-should-retry", b"true"),
        (b"retry-after", b"3"),
        (b"retry-after-ms", b"3000"),
    ]


def test_waiting_times_are_rounded_up_and_never_negative():
    assert dict(RateLimitExceeded(scope="key", retry_after_s=0.2501).headers()) == {
        b"x-should-retry": b"true",
        b"retry-after": b"1",
        b"retry-after-ms": b"251",
    }
    assert dict(RateLimitExceeded(scope="key", retry_after_s=-4).headers())[b"retry-after-ms"] == b"0"


def test_a_rate_limit_names_its_scope():
    error = RateLimitExceeded(scope="organisation", retry_after_s=1, metadata={"limit": 60})
    assert error.metadata == {"scope": "organisation", "limit": 60}
    assert "organisation" in error.message


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (QuotaExceeded(), b"false"),
        (ProviderUnavailable(), b"false"),
        (ProviderUnavailable(should_retry=True), b"true"),
        (BadUpstreamResponse(), b"false"),
        (UpstreamTimeout(), b"true"),
        (UpstreamTimeout(should_retry=False), b"false"),
        (NoProviderAvailable(retry_after_s=120), b"true"),
        (NoProviderAvailable(retry_after_s=121), b"false"),
        (NoProviderAvailable(), b"false"),
        (Draining(), b"true"),
        (InvalidApiKey(), None),
    ],
)
def test_retry_advice(error: ShareAIError, header: bytes | None):
    assert dict(error.headers()).get(b"x-should-retry") == header


def test_a_revoked_key_is_caught_as_an_invalid_one():
    with pytest.raises(InvalidApiKey):
        raise KeyRevoked


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_errors_cross_processes_whole(copied):
    original = RateLimitExceeded("Slow down.", scope="key", retry_after_s=2)
    twin = copied(original)
    assert type(twin) is RateLimitExceeded
    assert (twin.body(), twin.headers(), str(twin)) == (original.body(), original.headers(), str(original))


def test_codes_are_unique_unless_inherited():
    codes = [leaf.CODE for leaf in CodedError.leaves() if leaf.__module__ == "common.errors"]
    assert len(codes) == len(set(codes))

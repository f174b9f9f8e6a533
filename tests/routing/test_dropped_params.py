"""What a target cannot take is not sent to it, and its caller is told; or it is not asked, where all is required."""

from __future__ import annotations

import httpx
import pytest

from routing.cache_services import put_policy
from tests.routing.hearing import let_all_hear

HEADER = "x-shareai-dropped-params"
ASKED = {
    "model": "sim-chat",
    "messages": [{"role": "user", "content": "hello"}],
    "logit_bias": {"50256": -100},
    "seed": 7,
    "temperature": 0.5,
}


@pytest.fixture
def picky(tenant, upstreams):
    """A, whose owner says what it cannot take."""
    tenant.connect(upstreams.a.base_url, ["sim-chat"], options={"dropped_params": "seed, logit_bias user"})
    return tenant


@pytest.fixture
def easy(picky, upstreams):
    """B beside it, which takes everything."""
    picky.connect(upstreams.b.base_url, ["sim-chat"])
    return picky


def ask(http, **more):
    return http.post("/v1/chat/completions", json=ASKED | more)


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_left_out_and_named(picky, http, upstreams, stream):
    answer = ask(http, stream=stream)
    assert answer.status_code == 200
    assert answer.headers[HEADER] == "logit_bias, seed"
    sent = upstreams.a.log.posts[0].body
    assert not {"logit_bias", "seed"} & sent.keys()
    assert sent["temperature"] == 0.5


def test_nothing_is_named_where_nothing_was_left_out(picky, http):
    assert HEADER not in ask(http, logit_bias=None, seed=None).headers


def test_only_what_the_one_who_answered_could_not_take_is_named(easy, http, upstreams):
    upstreams.a.fail("500")
    answer = ask(http)
    assert answer.status_code == 200
    assert HEADER not in answer.headers
    assert upstreams.b.log.posts[0].body["seed"] == 7


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_named_each_time_the_answer_is_given_again(picky, gateway, http, upstreams, stream):
    put_policy(picky.org, picky.actor, scope="organization", ttl_s=600)
    let_all_hear(gateway, picky)
    answers = [ask(http, stream=again != stream) for again in (False, True)] + [on_a_new_connection(picky, gateway)]
    assert [answer.headers["x-shareai-cache"] for answer in answers] == ["MISS", "HIT", "HIT"]
    assert [answer.headers[HEADER] for answer in answers] == ["logit_bias, seed"] * 3
    assert len(upstreams.a.log.posts) == 1


def on_a_new_connection(tenant, gateway):
    """Maybe to the other process, which finds it in Redis."""
    return httpx.post(
        f"{gateway.base_url}/chat/completions",
        json=ASKED,
        headers={"Authorization": f"Bearer {tenant.api_key}"},
        timeout=30,
    )


def test_who_requires_all_is_served_by_whoever_takes_all(easy, http, upstreams):
    answer = ask(http, provider={"require_parameters": True})
    assert answer.status_code == 200
    assert answer.headers["x-shareai-target"].startswith(easy.connections[1].slug)
    assert HEADER not in answer.headers
    assert not upstreams.a.log.posts


def test_who_requires_all_is_refused_where_nobody_takes_all(picky, http, upstreams):
    answer = ask(http, provider={"require_parameters": True})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "unsupported_parameter")
    assert error["param"] == "provider.require_parameters"
    assert [one["reason"] for one in error["metadata"]["rejected"]] == ["lacks_parameter"]
    assert ask(http, provider={"require_parameters": True}, logit_bias=None, seed=None).status_code == 200


def test_usage_is_told_in_a_stream_by_the_gateway_where_the_target_cannot(tenant, http, upstreams):
    """Which is no parameter left out: it is done as it was asked."""
    tenant.connect(upstreams.a.base_url, ["sim-chat"], options={"dropped_params": "stream_options"})
    answer = ask(http, stream=True, stream_options={"include_usage": True})
    assert "stream_options" not in upstreams.a.log.posts[0].body
    assert HEADER not in answer.headers
    assert '"usage":{"prompt_tokens":' in answer.text

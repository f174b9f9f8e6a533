"""`POST /v1/route/explain` on a real gateway: what would happen, without a call."""

from __future__ import annotations

from routing.services import put_route

CHAT = {"messages": [{"role": "user", "content": "Hello"}]}


def test_it_tells_the_order_and_calls_nobody(http, tenant, upstreams):
    for upstream in (upstreams.a, upstreams.b):
        tenant.connect(upstream.base_url, [{"id": "sim-chat", "input_price": "1", "output_price": "2"}])
    put_route(tenant.org, tenant.actor, "fast", {"targets": [{"target": "upstream-b/sim-chat"}]})
    told = http.post("/v1/route/explain", json={"model": "fast", **CHAT}).json()
    assert (told["object"], told["route"]) == ("route.explanation", "fast")
    assert [kept["target"] for kept in told["candidates"]] == ["upstream-b/sim-chat"]
    both = http.post("/v1/route/explain", json={"model": "sim-chat"}).json()
    assert [kept["target"] for kept in both["candidates"]] == ["upstream-a/sim-chat", "upstream-b/sim-chat"]
    assert not any(upstream.log.posts for upstream in upstreams)


def test_a_key_bound_to_models_may_not_ask_about_others(http, tenant, upstreams):
    tenant.connect(upstreams.a.base_url, ["sim-chat"])
    plain = tenant.new_key(allowed_models=["other"])[1]
    answer = http.post("/v1/route/explain", json={"model": "sim-chat"}, headers={"Authorization": f"Bearer {plain}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")

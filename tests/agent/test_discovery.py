"""Model servers as they answer, told from each other, and what is said where there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from demo.llama import MODEL_ID
from shareai_node import addresses
from shareai_node.config import Config, Server
from shareai_node.discovery import NOTHING_NAMED, Seen, discover, summary_of
from shareai_node.errors import AgentError
from shareai_node.local import local_client
from shareai_node.offers import Offers, metric_in
from shareai_node.orders import Orders
from shareai_node.probing import Capabilities, Prober
from tests.agent.test_enroll import unused_port
from tests.fakes.upstream import FaultUpstream

OLLAMA = {
    "/v1/models": {"object": "list", "data": [{"id": "llama3.2:latest", "object": "model"}]},
    "/api/version": {"version": "0.12.3"},
    "/api/tags": {
        "models": [
            {"name": "llama3.2:latest", "digest": "abc", "details": {}},
            {"name": "gpt-oss:120b-cloud", "digest": "def", "remote_host": "https://ollama.com:443"},
        ]
    },
    "/api/ps": {"models": [{"name": "llama3.2:latest", "context_length": 4096}]},
}
LMSTUDIO = {
    "/v1/models": {"data": [{"id": "qwen"}, {"id": "nomic"}]},
    "/api/v0/models": {
        "data": [
            {
                "id": "qwen",
                "type": "llm",
                "state": "loaded",
                "max_context_length": 32768,
                "loaded_context_length": 8192,
            },
            {"id": "nomic", "type": "embeddings", "state": "not-loaded", "max_context_length": 2048},
        ]
    },
}
VLLM = {
    "/v1/models": {"data": [{"id": "m", "owned_by": "vllm", "root": "org/m", "max_model_len": 131072}]},
    "/version": {"version": "0.11.0"},
}
SGLANG = {
    "/v1/models": {"data": [{"id": "org/m", "owned_by": "sglang", "max_model_len": 65536}]},
    "/get_model_info": {"model_path": "org/m", "is_generation": True},
}
LLAMACPP = {
    "/v1/models": {"data": [{"id": "gguf", "owned_by": "llamacpp"}]},
    "/props": {"default_generation_settings": {"n_ctx": 2048}, "model_path": "/m.gguf", "build_info": "b1"},
}
PLAIN = {"/v1/models": {"data": [{"id": "anything"}]}}


@asynccontextmanager
async def serving(answers: dict[str, Any], status: int = 200) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        if request.path not in answers:
            return web.Response(status=404)
        said = answers[request.path]
        return web.Response(text=said) if isinstance(said, str) else web.json_response(said, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def config_of(*urls: str, key: str | None = None, **more: Any) -> Config:
    servers = tuple(Server(url, key) for url in urls)
    return Config("https://a.example", "wss://a.example/c", "node_1", "s", "n", "o", servers, discover=False, **more)


async def seen_at(*urls: str, key: str | None = None) -> list[Seen]:
    async with local_client() as http:
        return await discover(http, config_of(*urls, key=key))


@pytest.mark.parametrize(
    ("answers", "runtime", "models"),
    [
        (OLLAMA, "ollama", {"llama3.2:latest": 4096}),
        (LMSTUDIO, "lmstudio", {"qwen": 8192, "nomic": 2048}),
        (VLLM, "vllm", {"m": 131072}),
        (SGLANG, "sglang", {"org/m": 65536}),
        (LLAMACPP, "llamacpp", {"gguf": 2048}),
        (PLAIN, "openai", {"anything": None}),
    ],
)
async def test_each_runtime(answers, runtime, models):
    async with serving(answers) as url:
        [seen] = await seen_at(url)
    assert (seen.runtime, seen.error) == (runtime, None)
    assert {model.id: model.context_tokens for model in seen.models} == models


async def test_a_real_llama_cpp(llama: str):
    [seen] = await seen_at(llama)
    assert (seen.runtime, [model.id for model in seen.models]) == ("llamacpp", [MODEL_ID])


@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        ({**OLLAMA, "/v1/models": {"data": None}, "/api/tags": {"models": None}}, 200, "ollama pull"),
        ({"/v1/models": {"data": []}}, 200, "has no model. Load one there."),
        ({}, 200, "is no OpenAI-compatible model server"),
        ({"/v1/models": "<html>"}, 200, "is no OpenAI-compatible model server"),
        ({"/v1/models": [1]}, 200, "is no OpenAI-compatible model server"),
        ({"/v1/models": {"error": "key"}}, 401, "wants a key: shareai-node server add"),
    ],
)
async def test_one_line_that_says_what_to_do(answers, status, said):
    async with serving(answers, status) as url:
        [seen] = await seen_at(url)
    assert seen.models == ()
    assert said in (seen.error or "")
    assert "\n" not in (seen.error or "")


async def test_a_port_where_nothing_listens():
    url = f"http://127.0.0.1:{unused_port()}"
    [seen] = await seen_at(url)
    assert seen.error == f"Nothing listens at {url}. Start the server there, or correct its address."
    assert not seen.listens


async def test_a_server_that_wants_a_key():
    async with FaultUpstream(keys=["sk-local"], models=["fine"]) as upstream:
        url = upstream.base_url.removesuffix("/v1")
        [right], [wrong] = await seen_at(url, key="sk-local"), await seen_at(url, key="sk-other")
    assert right.error is None
    assert "refuses its key" in (wrong.error or "")


async def test_the_usual_ports_are_all_looked_at_at_once():
    looked = config_of()
    async with local_client() as http:
        seen = await discover(http, Config(**{**_fields(looked), "discover": True}))
    assert [one.server.base_url.rsplit(":")[-1] for one in seen] == ["11434", "1234", "8000", "30000", "8080"]


def _fields(config: Config) -> dict[str, Any]:
    return {name: getattr(config, name) for name in Config.__dataclass_fields__}


def test_the_one_that_tells_most():
    quiet = Seen(Server("http://a"), "ollama", error="Nothing listens", listens=False)
    named = Seen(Server("http://b"), "openai", error="Nothing listens", listens=False, by_hand=True)
    assert summary_of([quiet]) is None
    assert summary_of([quiet, named]) is named


async def test_a_name_that_leads_to_the_internet_is_refused():
    [seen] = await seen_at("http://8.8.8.8:53")
    assert "is not on this machine" in (seen.error or "")
    for url in (
        "http://8.8.8.8",
        "http://169.254.169.254",
        "http://[2606:4700::1]",
        "http://0.0.0.0:1",
        "http://no.invalid",
    ):
        with pytest.raises(AgentError):
            addresses.refuse_public(url)
    for url in ("http://127.0.0.1:1", "http://10.1.2.3", "http://[::1]:2", "http://100.64.0.9", "http://localhost"):
        addresses.refuse_public(url)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434"),
        ("http://127.0.0.1:1234/v1/", "http://127.0.0.1:1234"),
        ("LOCALHOST:8000", "http://localhost:8000"),
        ("http://10.0.0.2/models/v1", "http://10.0.0.2/models"),
    ],
)
def test_base_urls_as_people_write_them(typed, kept):
    assert addresses.server_url(typed) == kept


@pytest.mark.parametrize(
    ("typed", "origin"),
    [
        ("https://Console.Example/", "https://console.example"),
        ("console.example", "https://console.example"),
        ("https://console.example:443", "https://console.example"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_origins_as_people_write_them(typed, origin):
    assert addresses.origin_of(typed) == origin


async def offers_at(http, tmp_path, *urls: str, **more: Any) -> Offers:
    offers = Offers(http, config_of(*urls, **more), tmp_path / "probes.json")
    await offers.look()
    return offers


async def test_owner_and_console_both_narrow_what_is_offered(tmp_path):
    async with serving(LMSTUDIO) as url, local_client() as http:
        offers = await offers_at(http, tmp_path, url, models=("qwen",))
        assert [model["id"] for model in offers.advertised()] == ["qwen"]
        offers.orders = Orders(models=frozenset({"nomic"}))
        assert offers.offered() == []
        assert offers.server_of("qwen") is None
        assert offers.server_of("nomic") is None
        assert offers.local_server()["error"] == "None of its models is ticked in the console."


async def test_the_same_model_twice_is_served_by_the_first(tmp_path):
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serving(answers)) for answers in (VLLM, VLLM)]
        http = await stack.enter_async_context(local_client())
        offers = await offers_at(http, tmp_path, *urls)
        server = offers.server_of("m")
        assert server is not None
        assert server.base_url == urls[0]


async def test_nothing_at_all(tmp_path):
    async with local_client() as http:
        offers = await offers_at(http, tmp_path)
        assert offers.local_server() == {
            "ok": False,
            "base_url": "",
            "runtime": "",
            "error": NOTHING_NAMED,
            "trouble": "silent",
        }


async def test_more_models_than_fit_one_message(tmp_path):
    many = {"/v1/models": {"data": [{"id": f"model-{number:04}"} for number in range(2000)]}}
    async with serving(many) as url, local_client() as http:
        offers = await offers_at(http, tmp_path, url)
        assert len(offers.advertised()) == 200


async def test_waiting_requests_of_servers_that_tell(tmp_path):
    metrics = 'vllm:num_requests_waiting{engine="0"} 3.0\nvllm:num_requests_waiting{engine="1"} 4.0\n'
    async with serving({**VLLM, "/metrics": metrics}) as url, serving(PLAIN) as other, local_client() as http:
        assert await (await offers_at(http, tmp_path, url, other)).queue() == 7
        assert await (await offers_at(http, tmp_path, other)).queue() is None
    assert metric_in("a 1\nb 2\n", "b") == 2
    assert metric_in("bc 2\n", "b") is None
    assert metric_in("b NaN\n", "b") is None


async def test_capabilities_are_tried_not_believed(llama: str):
    async with local_client() as http:
        prober = Prober(http, Server(llama), MODEL_ID)
        assert await prober.capabilities() == Capabilities(
            tools=False, json_schema=True, vision=False, embeddings=True, chat=True, completions=True
        )
        speed = await prober.measure()
        assert speed.tokens_per_s is not None
        assert speed.first_token_ms is not None


async def test_a_server_that_can_do_it_all():
    async with _able() as url, local_client() as http:
        can = await Prober(http, Server(url), "able").capabilities()
    assert can == Capabilities(
        tools=True, json_schema=True, vision=True, embeddings=False, chat=True, completions=False
    )


@asynccontextmanager
async def _able() -> AsyncIterator[str]:
    """Calls the tool, keeps the schema, and reads a picture's colour from its bytes."""
    colours: list[str] = []

    async def chat(request: web.Request) -> web.Response:
        body = await request.json()
        message: dict[str, Any] = {"role": "assistant", "content": "Hello."}
        if "tools" in body:
            call = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
            message = {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": call}]}
        elif "response_format" in body:
            message["content"] = '{"flower": "marigold"}'
        elif isinstance(body["messages"][0]["content"], list):
            colours.append(body["messages"][0]["content"][1]["image_url"]["url"])
            message["content"] = "Red." if colours[0] == colours[-1] else "It is BLUE"
        return web.json_response({"choices": [{"message": message}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("fault", "chat"),
    [("ok", True), ("400", False), ("503", None), ("429", None), ("reset", None), ("200-html", False)],
)
async def test_a_fault_says_nothing_about_the_model(fault, chat):
    async with FaultUpstream(keys=[""]) as upstream, local_client() as http:
        can = await Prober(http, Server(upstream.base_url.removesuffix("/v1")), fault).capabilities()
    assert can.chat is chat


async def test_what_was_found_out_is_not_asked_again(llama: str, tmp_path):
    async with local_client() as http:
        first = await offers_at(http, tmp_path, llama)
        assert await first.probe_next()
        assert not await first.probe_next()
        second = await offers_at(http, tmp_path, llama)
        assert not await second.probe_next()
        assert second.advertised() == first.advertised()
        (tmp_path / "probes.json").write_text('{"x": {"capabilities": {"dance": true}}}')
        third = await offers_at(http, tmp_path, llama)
        assert await third.probe_next()


async def test_a_busy_server_keeps_its_models_for_a_while(tmp_path):
    async with FaultUpstream(keys=[""], models=["fine"]) as upstream, local_client() as http:
        offers = await offers_at(http, tmp_path, upstream.base_url.removesuffix("/v1"))
        upstream.models_status = 503
        await offers.look()
        await offers.look()
        assert offers.server_of("fine") is not None
        await offers.look()
        assert offers.server_of("fine") is None
        upstream.models_status = 200
        await offers.look()
        assert offers.server_of("fine") is not None

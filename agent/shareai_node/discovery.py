"""Finding the model servers of this machine: the usual ports on loopback, and those that the owner named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

from shareai_node.addresses import refuse_public
from shareai_node.config import Config, Server
from shareai_node.errors import AgentError
from shareai_node.local import LOOK_WITHIN_S, NotJson, fetch
from shareai_node.runtimes import OPENAI, USUAL_PORTS, recognise
from shareai_node.runtimes.shapes import LocalModel, entries_in

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found at one base URL.

    Args:
        error: one line that says what to do; None: it has models to offer.
        trouble: the same as a word for programs, "" without an error.
        listens: something is there at all.
        by_hand: the owner named it, so that its silence is worth a word.
    """

    server: Server
    runtime: str
    models: tuple[LocalModel, ...] = ()
    version: str | None = None
    error: str | None = None
    listens: bool = True
    by_hand: bool = False
    trouble: str = ""


REFUSED, SILENT, SLOW, NO_MODEL_SERVER, WANTS_KEY, REFUSES_KEY, NO_MODELS, NOT_TICKED = (
    "refused",
    "silent",
    "slow",
    "no_model_server",
    "wants_key",
    "refuses_key",
    "no_models",
    "not_ticked",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look.

    Args: runtime: which one is to be expected there, for the words of an error.
    """

    server: Server
    runtime: str
    by_hand: bool
    patient: bool

    def seen(self, trouble: str, error: str) -> Seen:
        listens = trouble not in (REFUSED, SILENT)
        return Seen(self.server, self.runtime, error=error, listens=listens, by_hand=self.by_hand, trouble=trouble)


async def discover(http: httpx.AsyncClient, config: Config, known: frozenset[str] = frozenset()) -> list[Seen]:
    """All places at once; those named by hand first, then the usual ports in their order.

    Args: known: base URLs where a server was before; busy with a request it may need longer than an empty port.
    """
    usual = [f"http://{_HOST}:{port}" for port in USUAL_PORTS] if config.discover else []
    named = {server.base_url for server in config.servers}
    places = [Place(server, OPENAI, by_hand=True, patient=True) for server in config.servers]
    places += [
        Place(Server(url), runtime, by_hand=False, patient=url in known)
        for url, runtime in zip(usual, USUAL_PORTS.values(), strict=False)
        if url not in named and url.replace(_HOST, "localhost") not in named
    ]
    return await asyncio.gather(*(look(http, place) for place in places))


async def look(http: httpx.AsyncClient, place: Place) -> Seen:
    server = place.server
    try:
        if place.by_hand:
            await asyncio.to_thread(refuse_public, server.base_url)
        status, said = await fetch(http, server, "/v1/models", timeout_s=None if place.patient else LOOK_WITHIN_S)
    except AgentError as error:
        return place.seen(REFUSED, str(error))
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return place.seen(SILENT, _nothing(place))
    except httpx.TimeoutException:
        return place.seen(SLOW, _slow(server))
    except (httpx.HTTPError, NotJson):
        return place.seen(NO_MODEL_SERVER, _no_model_server(server))
    if status in (401, 403):
        return place.seen(REFUSES_KEY if server.key is not None else WANTS_KEY, _wants_key(server))
    if status != 200 or not isinstance(said, dict) or "data" not in said:
        return place.seen(NO_MODEL_SERVER, _no_model_server(server))
    return await _recognised(http, server, said, place.by_hand)


async def _recognised(http: httpx.AsyncClient, server: Server, said: dict[str, Any], by_hand: bool) -> Seen:
    async def ask(path: str) -> Any:
        try:
            status, answer = await fetch(http, server, path)
        except (httpx.HTTPError, NotJson):
            return None
        return answer if status == 200 else None

    listed = [entry for entry in entries_in(said, "data") if isinstance(entry.get("id"), str) and entry["id"]]
    known = await recognise(ask, listed)
    if known.models:
        return Seen(server, known.runtime, known.models, known.version, by_hand=by_hand)
    error = _no_models(server, known.runtime)
    return Seen(server, known.runtime, (), known.version, error, by_hand=by_hand, trouble=NO_MODELS)


def summary_of(seen: Iterable[Seen]) -> Seen | None:
    """The one that tells most about this machine: one with models, else one that the owner named, else any."""
    ordered = sorted(seen, key=lambda one: (one.error is not None, not one.by_hand, not one.listens))
    best = ordered[0] if ordered else None
    return best if best is not None and (best.listens or best.by_hand) else None


NOTHING_FOUND = (
    "No model server was found at the usual ports. Start Ollama, LM Studio, vLLM, llama.cpp or SGLang, "
    "or name one: shareai-node server add http://127.0.0.1:PORT"
)

NOTHING_NAMED = (
    "No model server is named, and the usual ports are not looked at. "
    "Name one: shareai-node server add http://127.0.0.1:PORT"
)

_STARTS = {
    "ollama": "Start it with: ollama serve",
    "lmstudio": "Start its server in the Developer tab, or with: lms server start",
    "vllm": "Start it with: vllm serve MODEL",
    "llamacpp": "Start it with: llama-server -m MODEL.gguf",
    "sglang": "Start it with: python -m sglang.launch_server --model-path MODEL",
}
_LOADS = {
    "ollama": "Get one with: ollama pull llama3.2",
    "lmstudio": "Download one in its Discover tab.",
}


def _nothing(place: Place) -> str:
    does = "Start the server there, or correct its address." if place.by_hand else _STARTS[place.runtime]
    return f"Nothing listens at {place.server.base_url}. {does}"


def _slow(server: Server) -> str:
    return f"The server at {server.base_url} does not answer in time. See whether it is busy or stuck."


def _no_models(server: Server, runtime: str) -> str:
    return f"{server.base_url} has no model. {_LOADS.get(runtime, 'Load one there.')}"


def _no_model_server(server: Server) -> str:
    return f"What listens at {server.base_url} is no OpenAI-compatible model server. Check the address."


def _wants_key(server: Server) -> str:
    if server.key is not None:
        return f"{server.base_url} refuses its key. Add it again with --key-file."
    return f"{server.base_url} wants a key: shareai-node server add {server.base_url} --key-file FILE"

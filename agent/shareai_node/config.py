"""What the agent knows from one run to the next: its console, its name there, and the local servers of its owner."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from shareai_node.addresses import server_url
from shareai_node.errors import AgentError, NotEnrolled
from shareai_node.files import read_object, write_json
from shareai_node.places import Places


@dataclass(frozen=True, slots=True)
class Server:
    """A local model server named by hand.

    Args:
        base_url: without a slash at its end; `/v1/...` is appended.
        key: what it wants as a bearer token, where it wants one. It never leaves this machine.
    """

    base_url: str
    key: str | None = None

    def __repr__(self) -> str:
        return f"Server({self.base_url!r})"


@dataclass(frozen=True, slots=True)
class Config:
    """
    Args:
        console: its origin, `https://host[:port]`, as this machine knows it; signatures bind to it.
        servers: named by hand, beside those found at the usual ports.
        discover: whether the usual ports of this machine are looked at.
        models: the only ones that may be offered, whatever the console ticks; None: every one that is found.
    """

    console: str
    connect_url: str
    node: str
    slug: str
    name: str
    organization: str
    servers: tuple[Server, ...] = ()
    discover: bool = True
    models: tuple[str, ...] | None = None
    log_level: str = "info"


LOG_LEVELS = ("debug", "info", "warning", "error")


def save(where: Places, config: Config) -> None:
    write_json(where.config, asdict(config))


def find(where: Places) -> Config | None:
    """Raises: AgentError: there is a file, and it cannot be understood."""
    saved = read_object(where.config)
    if saved is None:
        return None
    try:
        return _from_saved(saved)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AgentError(f"{where.config} is damaged ({error!r}). Remove it and enrol again.") from error


def load(where: Places, environment: Mapping[str, str] = os.environ) -> Config:
    """The saved configuration with what the environment puts in its place.

    Raises: NotEnrolled; AgentError: the file or a variable cannot be understood.
    """
    config = find(where)
    if config is None:
        raise NotEnrolled(
            "This machine is not enrolled. Get a token in the console (Nodes, Add a machine), "
            "then: shareai-node enroll https://your-console --token-file FILE"
        )
    return overridden(config, environment)


def overridden(config: Config, environment: Mapping[str, str]) -> Config:
    """
    SHAREAI_NODE_SERVERS: base URLs, separated by commas, in place of those saved. SHAREAI_NODE_DISCOVER: `0` or `1`.
    SHAREAI_NODE_MODELS: ids, separated by commas. SHAREAI_NODE_LOG_LEVEL: debug, info, warning or error.
    """
    if servers := _words(environment.get("SHAREAI_NODE_SERVERS", "")):
        keys = {server.base_url: server.key for server in config.servers}
        urls = [server_url(word) for word in servers]
        config = replace(config, servers=tuple(Server(url, keys.get(url)) for url in urls))
    if (discover := environment.get("SHAREAI_NODE_DISCOVER", "")) != "":
        if discover not in ("0", "1"):
            raise AgentError("SHAREAI_NODE_DISCOVER is neither 0 nor 1. Set it to one of them, or not at all.")
        config = replace(config, discover=discover == "1")
    if models := _words(environment.get("SHAREAI_NODE_MODELS", "")):
        config = replace(config, models=models)
    if level := environment.get("SHAREAI_NODE_LOG_LEVEL", "").lower():
        if level not in LOG_LEVELS:
            raise AgentError(f"SHAREAI_NODE_LOG_LEVEL is none of {', '.join(LOG_LEVELS)}. Set it to one of them.")
        config = replace(config, log_level=level)
    return config


def _from_saved(saved: dict[str, Any]) -> Config:
    known = {name: saved[name] for name in saved if name in Config.__dataclass_fields__}
    known["servers"] = tuple(Server(server_url(one["base_url"]), one.get("key")) for one in saved.get("servers", ()))
    if (models := saved.get("models")) is not None:
        known["models"] = tuple(str(model) for model in models)
    for name in ("console", "connect_url", "node"):
        if not isinstance(saved[name], str) or not saved[name]:
            raise ValueError(name)
    if saved.get("log_level", "info") not in LOG_LEVELS:
        raise ValueError("log_level")
    return Config(**known)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())

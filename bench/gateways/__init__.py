"""One file per gateway. A new one is a subclass of `Gateway` and a line here."""

from bench.gateways.base import Endpoint, Gateway
from bench.gateways.litellm import LiteLLM
from bench.gateways.nginx import Nginx
from bench.gateways.portkey import Portkey
from bench.gateways.sglang_router import SglangRouter
from bench.gateways.shareai import ShareAI

GATEWAYS: dict[str, type[Gateway]] = {
    gateway.name: gateway for gateway in (ShareAI, LiteLLM, Portkey, SglangRouter, Nginx)
}

__all__ = ["GATEWAYS", "Endpoint", "Gateway"]

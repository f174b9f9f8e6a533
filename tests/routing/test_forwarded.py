"""Whose address a request has: what trusted proxies say, and nobody else."""

from __future__ import annotations

import httpx
import pytest

from routing.asgi import GatewayRequest, forwarded_address


@pytest.mark.parametrize(
    ("listed", "proxies", "address"),
    [
        ("198.51.100.1, 198.51.100.2", 1, "198.51.100.2"),
        ("198.51.100.1, 198.51.100.2", 2, "198.51.100.1"),
        ("198.51.100.1,198.51.100.2", 3, ""),
        ("", 1, ""),
        ("198.51.100.1:4711", 1, "198.51.100.1"),
        ("2001:db8::7", 1, "2001:db8::7"),
        ("[2001:db8::7]:4711", 1, "2001:db8::7"),
        ("forged, 198.51.100.2", 1, "198.51.100.2"),
    ],
)
def test_what_the_outermost_trusted_proxy_said(listed, proxies, address):
    assert forwarded_address(listed, proxies) == address


@pytest.mark.parametrize(("proxies", "address"), [(0, "192.0.2.8"), (1, "198.51.100.2")])
def test_the_address_of_a_request(proxies, address):
    headers = [(b"x-forwarded-for", b"198.51.100.2")]
    scope = {"method": "GET", "path": "/v1/key", "client": ("192.0.2.8", 1), "headers": headers}
    request = GatewayRequest(scope, dict(headers), b"", None, "req_1")
    request.trusted_proxies = proxies
    assert request.address == address


@pytest.mark.parametrize("path", ["/v1/key", "/api/v1/keys"])
def test_a_key_bound_to_addresses_is_not_opened_by_a_claim(gateway, tenant, path):
    _, plain = tenant.new_key(ip_allow=["10.0.0.0/8"], scopes=["inference", "manage"])
    headers = {"Authorization": f"Bearer {plain}", "X-Forwarded-For": "10.1.1.1"}
    response = httpx.get(gateway.url + path, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "ip_not_allowed")

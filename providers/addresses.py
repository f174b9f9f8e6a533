"""Which addresses ShareAI may dial: a pure law over IP addresses, without any I/O.

Tenants choose the URLs of their providers, so every address behind them is hostile until shown to be public. An
address that carries another one inside is judged by both. Of IPv6 only global unicast, 2000::/3, is public at all:
what is not listed here is refused, whatever is assigned later.

Source: the IANA special-purpose address registries,
https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry. Python's `is_global` alone
does not do: it holds multicast, Teredo, 6to4 and NAT64 addresses to be global in some releases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    NetmaskValueError,
    ip_address,
    ip_network,
)
from typing import Self

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA = "a cloud metadata or link-local address"
LOOPBACK = "a loopback address"
PRIVATE = "a private address"
MULTICAST = "a multicast address"
RESERVED = "a reserved address"
RETIRED = "an address of a retired transition mechanism"
OWN = "an address of this server"

_NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local: the metadata service of nearly every cloud
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle
        "100.100.100.200/32",  # Alibaba
        "fe80::/10",  # link-local
        "fd00:ec2::/32",  # AWS
        "fd20:ce::/64",  # Google
        "fd00:c1::a9fe:a9fe/128",  # Oracle
        "fd00:42::42/128",  # Scaleway
    )
)

_DENIED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(text), reason)
    for text, reason in (
        ("0.0.0.0/8", RESERVED),
        ("10.0.0.0/8", PRIVATE),
        ("100.64.0.0/10", PRIVATE),
        ("127.0.0.0/8", LOOPBACK),
        ("172.16.0.0/12", PRIVATE),
        ("192.0.0.0/24", RESERVED),
        ("192.0.2.0/24", RESERVED),
        ("192.88.99.0/24", RETIRED),
        ("192.168.0.0/16", PRIVATE),
        ("198.18.0.0/15", RESERVED),
        ("198.51.100.0/24", RESERVED),
        ("203.0.113.0/24", RESERVED),
        ("224.0.0.0/4", MULTICAST),
        ("240.0.0.0/4", RESERVED),
        ("::1/128", LOOPBACK),
        ("fc00::/7", PRIVATE),
        ("fec0::/10", PRIVATE),
        ("ff00::/8", MULTICAST),
        ("2001::/32", RETIRED),
        ("2001::/23", RESERVED),
        ("2001:db8::/32", RESERVED),
        ("2002::/16", RETIRED),
        ("3fff::/20", RESERVED),
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_CARRIERS_IN_THE_LAST_32_BITS = tuple(
    IPv6Network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})

_ENTRY = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:/\d+)?)\]|([0-9.]+(?:/\d+)?)):(\d{1,5})", re.ASCII)


class AllowListInvalid(ValueError):
    """The text of EGRESS_ALLOW is not what it should be."""


def parse_address(text: str) -> Address:
    """Without its zone ("%eth0"), and an IPv4-mapped address as the IPv4 address it stands for.

    Raises: ValueError: if it is none.
    """
    address = ip_address(text.partition("%")[0])
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def carried_addresses(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses to which some router may deliver what is sent to this IPv6 address."""
    if isinstance(address, IPv4Address):
        return []
    carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    bits = int(address)
    if any(address in carrier for carrier in _CARRIERS_IN_THE_LAST_32_BITS) or bits >> 32 & 0xFFFFFFFF in _ISATAP:
        carried.append(IPv4Address(bits & 0xFFFFFFFF))
    return [found for found in carried if found is not None]


@dataclass(frozen=True, slots=True)
class AllowList:
    """What the operator opens besides public addresses: networks, each with one port.

    Deployment configuration only. It never opens metadata and link-local addresses.
    """

    entries: tuple[tuple[Network, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """`127.0.0.1:11434, 10.1.0.0/16:8000, [fd12::/48]:8000`. Raises: AllowListInvalid."""
        return cls(tuple(_parse_entry(entry.strip()) for entry in text.split(",") if entry.strip()))

    def allows(self, address: Address, port: int) -> bool:
        return any(port == allowed and address in network for network, allowed in self.entries)


NOTHING = AllowList()


def check_address(address: str | Address, port: int, allow: AllowList = NOTHING) -> str | None:
    """Why this address must not be dialled, as a noun phrase, or None if it may be.

    Fails: closed; a text that is no address is a refusal.
    """
    try:
        address = parse_address(str(address))
    except ValueError:
        return "no IP address"
    if is_never_dialled(address):
        return METADATA
    if allow.allows(address, port):
        return None
    # A NAT64 address is no place of its own, only the way to the one inside.
    if address not in _NAT64 and (reason := _reason_against(address)):
        return reason
    return next(filter(None, map(_reason_against, carried_addresses(address))), None)


def is_never_dialled(address: Address) -> bool:
    """True of what no allow-list opens: metadata and link-local addresses, carried ones included."""
    return any(found in network for found in (address, *carried_addresses(address)) for network in _NEVER)


def _reason_against(address: Address) -> str | None:
    for network, reason in _DENIED:
        if address in network:
            return reason
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return RESERVED
    return None if address.is_global and not address.is_multicast and not address.is_reserved else RESERVED


def _parse_entry(entry: str) -> tuple[Network, int]:
    match = _ENTRY.fullmatch(entry)
    if match is None or not 1 <= int(match[3]) <= 65535:
        raise AllowListInvalid(
            f"EGRESS_ALLOW has {entry!r}; an entry is <address or network>:<port>, IPv6 in brackets, no names."
        )
    try:
        network = ip_network(match[1] or match[2])
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise AllowListInvalid(f"EGRESS_ALLOW has {entry!r}: {error}.") from None
    if is_never_dialled(network[0]) and is_never_dialled(network[-1]):
        raise AllowListInvalid(f"EGRESS_ALLOW has {entry!r}, which is {METADATA} and never dialled.")
    return network, int(match[3])

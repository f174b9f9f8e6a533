import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import addresses
from providers.addresses import (
    LOOPBACK,
    METADATA,
    MULTICAST,
    NOTHING,
    PRIVATE,
    RESERVED,
    RETIRED,
    AllowList,
    AllowListInvalid,
    check_address,
)

DENIED = {
    "0.0.0.0": RESERVED,
    "0.1.2.3": RESERVED,
    "10.0.0.1": PRIVATE,
    "100.64.0.1": PRIVATE,
    "100.127.255.255": PRIVATE,
    "127.0.0.1": LOOPBACK,
    "127.255.255.254": LOOPBACK,
    "172.16.0.1": PRIVATE,
    "172.31.255.255": PRIVATE,
    "192.0.0.1": RESERVED,
    "192.0.0.9": RESERVED,  # which Python holds to be global
    "192.0.2.1": RESERVED,
    "192.88.99.1": RETIRED,
    "192.168.255.255": PRIVATE,
    "198.18.0.1": RESERVED,
    "198.51.100.1": RESERVED,
    "203.0.113.1": RESERVED,
    "224.0.0.1": MULTICAST,
    "239.255.255.255": MULTICAST,
    "240.0.0.1": RESERVED,
    "255.255.255.255": RESERVED,
    "::": RESERVED,
    "::1": LOOPBACK,
    "::1%lo": LOOPBACK,
    "100::1": RESERVED,
    "fc00::1": PRIVATE,
    "fdff::1": PRIVATE,
    "fec0::1": PRIVATE,
    "ff02::1": MULTICAST,
    "ff0e::1": MULTICAST,
    "2001:db8::1": RESERVED,
    "2001:2::1": RESERVED,
    "2001:20::1": RESERVED,
    "3fff::1": RESERVED,
    "5f00::1": RESERVED,
    "4000::1": RESERVED,
    "not an address": "no IP address",
    "": "no IP address",
    "0x7f.0.0.1": "no IP address",
    "127.1": "no IP address",
    "0177.0.0.1": "no IP address",
    "2130706433": "no IP address",
}

NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.1",
    "168.63.129.16",
    "192.0.0.192",
    "100.100.100.200",
    "fe80::1",
    "fe80::a9fe:a9fe%eth0",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "fd00:42::42",
]

PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "223.255.255.255"),
    *("2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::1"),
]

LIVING = {"mapped", "NAT64", "ISATAP", "ISATAP, global"}


def carriers(inner: str) -> dict[str, str]:
    """Every way in which an IPv6 address can lead to this IPv4 address."""
    high, low = divmod(int(ipaddress.IPv4Address(inner)), 1 << 16)
    turned = int(ipaddress.IPv4Address(inner)) ^ 0xFFFFFFFF
    return {
        "mapped": f"::ffff:{inner}",
        "compatible": f"::{inner}",
        "translated": f"::ffff:0:{inner}",
        "NAT64": f"64:ff9b::{inner}",
        "local NAT64": f"64:ff9b:1::{inner}",
        "6to4": f"2002:{high:x}:{low:x}::1",
        "Teredo client": f"2001:0:808:808:0:0:{turned >> 16:x}:{turned & 0xFFFF:x}",
        "Teredo server": f"2001:0:{high:x}:{low:x}:0:0:f7f7:f7f7",
        "ISATAP": f"2a00:1450::5efe:{inner}",
        "ISATAP, global": f"2a00:1450::200:5efe:{inner}",
    }


@pytest.mark.parametrize(("address", "reason"), DENIED.items())
def test_every_family_of_denied_addresses(address: str, reason: str):
    assert check_address(address, 443) == reason


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str):
    assert check_address(address, 443) is None
    assert check_address(ipaddress.ip_address(address), 443) is None


@pytest.mark.parametrize("inner", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "224.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("carrier", carriers("127.0.0.1"))
def test_what_is_denied_is_denied_inside_of_every_carrier(carrier: str, inner: str):
    assert check_address(carriers(inner)[carrier], 443) is not None


@pytest.mark.parametrize("carrier", sorted(LIVING))
def test_living_carriers_of_public_addresses_pass(carrier: str):
    assert check_address(carriers("8.8.8.8")[carrier], 443) is None


@pytest.mark.parametrize(
    "carrier", ["compatible", "translated", "local NAT64", "6to4", "Teredo client", "Teredo server"]
)
def test_retired_carriers_are_denied_whatever_they_carry(carrier: str):
    assert check_address(carriers("8.8.8.8")[carrier], 443) in (RETIRED, RESERVED)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_addresses_are_not_opened_by_any_allow_list(address: str):
    everything = AllowList.parse("0.0.0.0/0:80, [::/0]:80")
    assert check_address("10.0.0.1", 80, everything) is None
    assert check_address(address, 80, everything) == METADATA


@pytest.mark.parametrize("carrier", carriers("169.254.169.254"))
def test_metadata_addresses_are_not_opened_inside_of_a_carrier(carrier: str):
    everything = AllowList.parse("0.0.0.0/0:80, [::/0]:80")
    assert check_address(carriers("169.254.169.254")[carrier], 80, everything) == METADATA


@given(st.ip_addresses())
def test_the_law_is_never_weaker_than_pythons(address: addresses.Address):
    if check_address(address, 443) is None and not addresses.carried_addresses(address):
        assert address.is_global
        assert not any([address.is_private, address.is_loopback, address.is_multicast, address.is_reserved])


@given(st.ip_addresses(v=4), st.integers(1, 65535))
def test_a_mapped_address_is_judged_as_the_one_it_stands_for(address: ipaddress.IPv4Address, port: int):
    allow = AllowList.parse(f"10.0.0.0/8:{port}")
    assert check_address(f"::ffff:{address}", port, allow) == check_address(address, port, allow)


# The allow-list


def test_the_allow_list_opens_an_address_at_a_port():
    allow = AllowList.parse("127.0.0.1:11434, 10.1.0.0/16:8000,[::1]:11434 ,[fd12::/48]:8000,")
    for address, port in [
        ("127.0.0.1", 11434),
        ("::ffff:127.0.0.1", 11434),
        ("10.1.255.1", 8000),
        ("::1", 11434),
        ("fd12::7", 8000),
    ]:
        assert check_address(address, port, allow) is None
    for address, port in [("127.0.0.1", 8000), ("127.0.0.2", 11434), ("10.2.0.1", 8000), ("fd12:0:1::1", 8000)]:
        assert check_address(address, port, allow) is not None


def test_the_allow_list_is_empty_by_default():
    assert AllowList.parse("") == AllowList.parse(" , ") == NOTHING
    assert check_address("127.0.0.1", 80, NOTHING) == LOOPBACK


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:http",
        "127.0.0.1:-1",
        "127.1:80",
        "localhost:80",
        "::1:80",
        "::1",
        "[::1]",
        "[127.0.0.1:80",
        "10.1.2.3/16:80",
        "10.0.0.0/33:80",
        "10.0.0.0/0x8:80",
        "http://10.0.0.1:80",
        "*:80",
        "10.0.0.1:80 10.0.0.2:80",
        "10.0.0.1:٣",
        "169.254.169.254:80",
        "169.254.0.0/16:80",
        "[fe80::/10]:80",
        "[::ffff:169.254.169.254]:80",
    ],
)
def test_an_allow_list_that_is_not_right_is_refused(text: str):
    with pytest.raises(AllowListInvalid, match="EGRESS_ALLOW has"):
        AllowList.parse("10.0.0.1:80," + text)

"""The egress matrix for URLs that tenants save."""

import pytest

from providers.addresses import AllowList
from providers.egress import EgressRefused, check_url


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.example.com/v1", "https://api.example.com"),
        ("HTTPS://API.Example.COM:443/v1?version=1", "https://api.example.com"),
        ("http://api.example.com:80", "http://api.example.com"),
        ("http://api.example.com:443", "http://api.example.com:443"),
        ("https://api.example.com.:8443/", "https://api.example.com:8443"),
        ("https://exämple.de", "https://xn--exmple-cua.de"),
        ("http://1.1.1.1:8000/v1", "http://1.1.1.1:8000"),
        ("http://[2606:4700:4700:0::1111]/", "http://[2606:4700:4700::1111]"),
        ("http://[::ffff:1.1.1.1]/", "http://1.1.1.1"),
        ("https://api.example.com/a@b?c=d@e", "https://api.example.com"),
    ],
)
def test_the_origin_of_a_good_url(url: str, origin: str):
    assert check_url(url) == origin


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.com", "http:// or https://"),
        ("file:///etc/passwd", "http:// or https://"),
        ("gopher://example.com", "http:// or https://"),
        ("example.com/v1", "http:// or https://"),
        ("//example.com", "http:// or https://"),
        ("", "http:// or https://"),
        ("http://user@example.com", "user name"),
        ("http://user:secret@example.com", "user name"),
        ("http://@example.com", "user name"),
        ("http://:@example.com", "user name"),
        ("https://api.example.com#@10.0.0.1/", "fragment"),
        ("https://api.example.com/#", "fragment"),
        ("http://", "host"),
        ("http:///v1", "host"),
        ("http:example.com", "host"),
        ("http://example.com:0", "port other than 0"),
        ("http://example.com:99999", "not a valid URL"),
        ("http://example.com:80a", "not a valid URL"),
        ("http://[::1", "not a valid URL"),
        ("http://[v1.x]/", "not a valid name"),
        ("http://example.com\\@10.0.0.1/", "backslashes"),
        ("http://example.com\t/", "control characters"),
        ("http://exam\nple.com/", "control characters"),
        (" http://example.com", "spaces"),
        ("http://example.com/" + "x" * 2048, "too long"),
        ("http://a%2eb/", "not a valid name"),
        ("http://%31%32%37.0.0.1/", "not a valid name"),
        ("http://a,b/", "not a valid name"),
        ("http://2130706433/", "four decimal numbers"),
        ("http://0x7f000001/", "four decimal numbers"),
        ("http://0x7f.1/", "four decimal numbers"),
        ("http://0177.0.0.1/", "four decimal numbers"),
        ("http://127.1/", "four decimal numbers"),
        ("http://127.0.0.1./", "loopback"),
        ("http://127.0.0.1:8000", "EGRESS_ALLOW=127.0.0.1:8000"),
        ("https://10.0.0.1/", "EGRESS_ALLOW=10.0.0.1:443"),
        ("http://[::1]:8000/", r"EGRESS_ALLOW=\[::1\]:8000"),
        ("http://[::ffff:7f00:1]/", "loopback"),
        ("http://[64:ff9b::a00:1]/", "private"),
        ("http://１２７.0.0.1/", "loopback"),
        ("http://１２７。0。0。1/", "loopback"),
        ("http://169.254.169.254/latest", "never dialled"),
        ("http://[fe80::1%25eth0]/", "never dialled"),
    ],
)
def test_urls_that_are_not_saved(url: str, said: str):
    with pytest.raises(EgressRefused, match=said) as refusal:
        check_url(url)
    assert refusal.value.code == "egress_refused"
    assert "secret" not in refusal.value.message


def test_the_operator_opens_a_literal_address():
    allow = AllowList.parse("127.0.0.1:11434")
    assert check_url("http://127.0.0.1:11434/v1", allow) == "http://127.0.0.1:11434"
    with pytest.raises(EgressRefused):
        check_url("http://127.0.0.1:11435/v1", allow)


def test_metadata_is_never_opened_and_nobody_is_told_to_try():
    with pytest.raises(EgressRefused) as refusal:
        check_url("http://169.254.169.254:80/", AllowList.parse("0.0.0.0/0:80"))
    assert "EGRESS_ALLOW" not in refusal.value.message

"""Redis is killed, hangs, comes back: people still sign up and in, and guessing is still bounded."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.conftest import PASSWORD
from tests.ownredis import BACK_WITHIN_S, OwnRedis, eventually
from tests.stack import GatewayProcess

COUNTERS = "*allauth:rl:*"
GUESSES = 5
"""As many wrong passwords for one address as are allowed within five minutes (ACCOUNT_RATE_LIMITS)."""


@pytest.fixture(scope="module")
def own_redis() -> Iterator[OwnRedis]:
    with OwnRedis() as own:
        yield own


@pytest.fixture(scope="module")
def server(django_db_setup, django_db_blocker, own_redis, tmp_path_factory) -> Iterator[GatewayProcess]:
    with django_db_blocker.unblock():
        folder = tmp_path_factory.mktemp("without-redis")
        process = GatewayProcess(folder, REDIS_URL=own_redis.url, EMAIL_VERIFICATION="optional")
        yield process.start()
        process.stop()


@pytest.fixture
def redis_back(own_redis, server) -> Iterator[None]:
    yield
    own_redis.kill()
    own_redis.start()


class Browser:
    def __init__(self, server: GatewayProcess) -> None:
        self.http = httpx.Client(base_url=server.url, timeout=30)

    def post(self, path: str, **fields: str) -> httpx.Response:
        assert self.http.get(path).status_code == 200
        fields["csrfmiddlewaretoken"] = self.http.cookies["csrftoken"]
        return self.http.post(path, data=fields)

    def sign_up(self, email: str) -> httpx.Response:
        return self.post("/accounts/signup/", email=email, password1=PASSWORD)

    def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return self.post("/accounts/login/", login=email, password=password)

    def is_signed_in(self) -> bool:
        return self.http.get("/").status_code == 200

    def sign_out(self) -> None:
        self.http.cookies.delete("sessionid")


@pytest.fixture
def browser(server) -> Browser:
    return Browser(server)


def new_address() -> str:
    return f"{uuid4().hex}@example.com"


@pytest.fixture(params=["killed", "hanging"])
def away(request, own_redis, server, redis_back) -> None:
    if request.param == "killed":
        own_redis.kill()
    else:
        own_redis.signal(signal.SIGSTOP)


def test_people_sign_up_and_in_and_see_their_pages(away, browser):
    email = new_address()
    assert browser.sign_up(email).headers["location"] == "/"
    assert browser.is_signed_in()
    assert [browser.http.get(path).status_code for path in ("/keys", "/logs", "/providers", "/members")] == [200] * 4
    browser.sign_out()
    assert not browser.is_signed_in()
    assert browser.sign_in(email).headers["location"] == "/"
    assert browser.is_signed_in()


def test_guessing_is_stopped_and_the_right_one_with_it(away, browser):
    email = new_address()
    browser.sign_up(email)
    browser.sign_out()
    for _ in range(GUESSES):
        browser.sign_in(email, "a wrong one")
    assert browser.sign_in(email).status_code == 200  # the form again
    assert not browser.is_signed_in()


def test_what_happens_after_it_is_back_is_counted_there(own_redis, browser, redis_back):
    email = new_address()
    browser.sign_up(email)
    browser.sign_out()
    own_redis.kill()
    assert browser.sign_in(email, "a wrong one").status_code == 200
    own_redis.start()

    def counted() -> bool:
        browser.sign_in(email, "a wrong one")
        return bool(own_redis.client.keys(COUNTERS))

    eventually(counted, BACK_WITHIN_S)

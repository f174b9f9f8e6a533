"""The agent's enrolment against the console's own view, over HTTP."""

from __future__ import annotations

import pytest

from accounts.audit import Actor
from nodes import enrolment
from nodes.models import Node
from shareai_node import config
from tests.agent.conftest import Home

pytestmark = pytest.mark.django_db(transaction=True)
SYSTEM = Actor.system("tests")


@pytest.fixture
def token(acme) -> str:
    return enrolment.create_token(acme, SYSTEM).plain


def test_a_machine_becomes_a_node(home: Home, live_server, acme, token: str):
    done = home.do_now("enroll", live_server.url, "--name", "Tower", "--no-discover", given=token)
    assert done.code == 0, done.err
    saved = config.find(home.places)
    assert saved is not None
    node = Node.objects.of(acme).get()
    assert (saved.node, saved.name, saved.organization) == (node.public_id, "Tower", "Acme")
    assert saved.connect_url == live_server.url.replace("http", "ws") + "/nodes/v1/connect"


def test_a_token_lets_one_machine_in(make_home, live_server, acme, token: str):
    assert make_home("first").do_now("enroll", live_server.url, given=token).code == 0
    assert make_home("second").do_now("enroll", live_server.url, given=token).line.startswith("This token was used")
    assert Node.objects.of(acme).count() == 1


def test_a_token_that_nobody_made(home: Home, live_server, acme):
    done = home.do_now("enroll", live_server.url, given="sai-node-" + "x" * 40)
    assert done.line.startswith("The console does not know this token")

"""How machines get in, and how others do not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.errors import NotPermitted
from accounts.models import AuditEvent
from nodes.attempts import MOST_FAILURES
from nodes.enrolment import create_token, revoke_token
from nodes.errors import InvalidNode
from nodes.models import EnrolmentToken, Node
from nodes.services import nodes_of, remove_node, revoke_node
from tests.nodes.machine import Machine, b64

pytestmark = pytest.mark.django_db


def code_of(answer: Any) -> tuple[int, str]:
    error = answer.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    return answer.status_code, error["code"]


def test_a_machine_gets_in(acme, token):
    answer = Machine("gpu-box.lab.example").enrol(token)
    said = answer.json()
    node = Node.objects.of(acme).get()
    assert answer.status_code == 201
    assert (said["node"], said["slug"], said["name"]) == (node.public_id, "gpu-box", "gpu-box")
    assert (said["organization"], said["connect_url"]) == ("Acme", "ws://testserver/nodes/v1/connect")
    assert abs(datetime.fromisoformat(said["console_time"]) - timezone.now()) < timedelta(minutes=5)
    assert (node.os, node.arch, node.version, node.visibility) == ("linux", "x86_64", "0.1.0", "private")
    assert answer["Cache-Control"] == "no-store"
    assert not answer.cookies


def test_a_name_may_be_asked_for_and_short_names_stay_apart(acme, as_alice, rival, as_mallory):
    fleet = create_token(acme, as_alice, count=3).plain
    slugs = [Machine().enrol(fleet, name="Böx  One\u202e").json()["slug"] for _ in range(2)]
    assert slugs == ["box-one", "box-one-2"]
    assert Node.objects.first().name == "Böx One"
    assert Machine().enrol(create_token(rival, as_mallory).plain, name="Box one").json()["slug"] == "box-one"
    assert Machine().enrol(fleet, name="community-1").json()["slug"] == "my-community-1"


def test_the_audit_trail_tells_it_without_the_token(acme, token):
    Machine().enrol(token)
    made, came = AuditEvent.objects.of(acme).filter(action__startswith="node").order_by("sequence")
    assert (made.action, came.action) == ("node_token.created", "node.enrolled")
    assert came.after["enrolled_with"] == made.object_id
    assert came.ip.startswith("198.18.")
    assert token not in str([made.after, came.after])


def test_only_the_hash_of_a_token_is_stored(token):
    row = EnrolmentToken.objects.get()
    assert token.encode() not in bytes(row.token_hash)
    assert token not in str(EnrolmentToken.objects.values())
    assert token.startswith("sai-node-")


def test_a_lost_answer_is_no_loss(token):
    machine = Machine()
    first, again = machine.enrol(token), machine.enrol(token)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["node"] == again.json()["node"]
    assert Node.objects.count() == 1


def test_a_used_token_lets_no_other_machine_in(token):
    Machine().enrol(token)
    assert code_of(Machine().enrol(token)) == (409, "token_used")
    assert Node.objects.count() == 1


def test_an_expired_token_lets_nobody_in_not_even_the_same_machine_again(token):
    machine = Machine()
    machine.enrol(token)
    EnrolmentToken.objects.update(expires_at=timezone.now())
    assert code_of(machine.enrol(token)) == (410, "token_expired")
    EnrolmentToken.objects.update(used=0)
    assert code_of(Machine().enrol(token)) == (410, "token_expired")


def test_a_revoked_machine_does_not_come_back_by_its_old_token(acme, as_alice):
    fleet, machine = create_token(acme, as_alice).plain, Machine()
    machine.enrol(fleet)
    revoke_node(Node.objects.select_related("org").get(), as_alice)
    assert code_of(machine.enrol(fleet)) == (409, "token_used")


def test_a_removed_machine_leaves_its_short_name(acme, as_alice, enrolled):
    remove_node(enrolled("Box"), as_alice)
    assert enrolled("Box").slug == "box"
    assert nodes_of(acme).count() == 1


@pytest.mark.parametrize("token", ["sai-node-" + "0" * 48, "sai-node-", "sk-sai-x", "ไม่มี", "x" * 200])
def test_an_unknown_token(token, acme):
    assert code_of(Machine().enrol(token)) == (401, "token_unknown")


def test_a_withdrawn_token_is_unknown(acme, as_alice):
    made = create_token(acme, as_alice, count=5)
    revoke_token(made.token, as_alice)
    assert code_of(Machine().enrol(made.plain)) == (401, "token_unknown")


def test_a_token_of_a_deleted_organisation_is_unknown(acme, token):
    type(acme).objects.update(deleted_at=timezone.now())
    assert code_of(Machine().enrol(token)) == (401, "token_unknown")


def test_a_proof_by_another_key(token):
    machine = Machine()
    assert code_of(machine.enrol(token, proof=b64(Machine().proof(token)))) == (400, "proof_invalid")
    assert code_of(machine.enrol(token, public_key=b64(Machine().public_key))) == (400, "proof_invalid")
    assert not Node.objects.exists()


def test_a_proof_for_another_token_or_console(token, acme, as_alice):
    machine, other = Machine(), create_token(acme, as_alice).plain
    assert code_of(machine.enrol(token, proof=b64(machine.proof(other)))) == (400, "proof_invalid")
    refused = machine.enrol(token, origin="https://phishing.example")
    assert code_of(refused) == (400, "proof_invalid")
    assert "http://testserver" in refused.json()["error"]["message"]


def test_the_public_address_counts_as_well(token, settings):
    settings.PUBLIC_URL = "https://AI.example.com:443/"
    answer = Machine().enrol(token, origin="https://ai.example.com")
    assert answer.status_code == 201
    assert answer.json()["connect_url"] == "wss://ai.example.com/nodes/v1/connect"


def test_a_machine_that_asks_again_by_another_name_of_the_console_goes_by_that(token, settings):
    machine = Machine()
    machine.enrol(token)
    settings.PUBLIC_URL = "https://ai.example.com"
    assert machine.enrol(token, origin="https://ai.example.com").status_code == 200
    assert Node.objects.get().origin == "https://ai.example.com"


def test_a_port_that_is_none(token):
    machine = Machine()
    said = machine.application(token)
    assert code_of(machine.post(said, HTTP_HOST="testserver:99999"))[0] == 400
    assert not Node.objects.exists()


@pytest.mark.parametrize("key", ["", "AAAA", "A" * 43, "!" * 43])
def test_a_key_that_is_none(token, key):
    assert Machine().enrol(token, public_key=key).status_code == 400


@pytest.mark.parametrize(("off_s", "said"), [(400, "ahead of"), (-400, "behind")])
def test_a_wrong_clock_is_told_by_how_much(token, off_s, said):
    sent_at = (datetime.now(UTC) + timedelta(seconds=off_s)).isoformat()
    refused = Machine().enrol(token, sent_at=sent_at)
    assert code_of(refused) == (400, "clock_skew")
    assert said in refused.json()["error"]["message"]
    assert abs(abs(refused.json()["error"]["metadata"]["ahead_s"]) - 400) < 60
    assert Machine().enrol(token, sent_at=datetime.now().isoformat()).status_code == 400
    assert Machine().enrol(token).status_code == 201


@pytest.mark.parametrize("version", ["0.0.9", "nonsense", "1"])
def test_an_old_agent_is_told_so(token, version):
    refused = Machine().enrol(token, version=version)
    assert code_of(refused) == (426, "version_unsupported")
    assert "0.1.0" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "change",
    [
        {"os": "plan9"},
        {"token": 5},
        {"hostname": "h" * 256},
        {"sent_at": "yesterday"},
        {"name": "n" * 81},
        {"proof": ""},
    ],
)
def test_a_body_that_is_not_as_it_should_be(token, change):
    machine = Machine()
    assert code_of(machine.post(machine.application(token) | change)) == (400, "invalid_request")
    assert not Node.objects.exists()


def test_bodies_that_are_no_json_or_too_long(token):
    machine = Machine()
    assert code_of(machine.post(b"{")) == (400, "invalid_json")
    assert code_of(machine.post(b"x" * 20_000)) == (413, "payload_too_large")
    assert machine.post(b"[]").status_code == 400


def test_other_methods_are_not_known(client):
    answer = client.get("/nodes/v1/enroll")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_an_address_that_fails_too_often_waits(token):
    machine = Machine()
    codes = [code_of(machine.enrol("sai-node-" + "0" * 48))[1] for _ in range(2 * MOST_FAILURES)]
    assert codes[0] == "token_unknown"
    assert "too_many" in codes
    refused = machine.enrol(token)
    if refused.status_code == 429:  # else the minute ended meanwhile
        assert int(refused["retry-after"]) <= 60
    assert Machine().enrol(token).status_code in (200, 201)


@pytest.mark.parametrize("wishes", [{"count": 0}, {"count": 1001}, {"ttl_s": 59}, {"ttl_s": 10**9}])
def test_a_token_has_bounds(acme, as_alice, wishes):
    with pytest.raises(InvalidNode) as refusal:
        create_token(acme, as_alice, **wishes)
    assert list(refusal.value.fields) == list(wishes)


def test_who_may_make_a_token(acme, as_bob, as_mallory):
    for actor in (as_bob, as_mallory):
        with pytest.raises(NotPermitted):
            create_token(acme, actor)


def at_once(machines: list[Machine], token: str) -> list[tuple[int, str]]:
    def enrol(machine: Machine) -> tuple[int, str]:
        try:
            answer = machine.enrol(token)
            said = answer.json()
            return answer.status_code, said.get("node") or said["error"]["code"]
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        return list(pool.map(enrol, machines))


@pytest.mark.django_db(transaction=True)
def test_two_machines_with_one_single_use_token_at_once(acme, as_alice):
    for _ in range(5):
        token = create_token(acme, as_alice).plain
        answers = at_once([Machine(), Machine()], token)
        assert sorted(status for status, _ in answers) == [201, 409]
    assert Node.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_one_machine_that_posts_many_times_at_once_is_one_node(acme, as_alice):
    machine = Machine()
    answers = at_once([machine] * 10, create_token(acme, as_alice).plain)
    assert sorted(status for status, _ in answers) == [200] * 9 + [201]
    assert {node for _, node in answers} == {Node.objects.get().public_id}


@pytest.mark.django_db(transaction=True)
def test_fifty_machines_by_one_fleet_token_and_not_one_more(acme, as_alice):
    fleet = create_token(acme, as_alice, count=50)
    answers = at_once([Machine(address="198.19.0.1") for _ in range(53)], fleet.plain)
    assert sorted(status for status, _ in answers) == [201] * 50 + [409] * 3
    assert len(set(Node.objects.values_list("slug", flat=True))) == 50
    fleet.token.refresh_from_db()
    assert fleet.token.used == 50

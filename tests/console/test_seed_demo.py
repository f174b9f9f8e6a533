"""The demo's seed: whole at the first run, quiet at the second, and it repairs only what no longer fits."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts import apikeys, keys
from accounts.audit import Actor
from accounts.models import ApiKey, Limit, Organization, User
from billing.earnings.models import Cause
from billing.statements import balance
from common.money import NANOS_PER_USD
from console.embedded import machine, upstreams
from console.embedded.keep import read_env
from nodes.models import EnrolmentToken, Node
from nodes.services import remove_node
from nodes.tokens import digest
from providers import services
from providers.models import Connection, ConnectionKey
from providers.sources import load_targets
from tests.nodes.machine import Machine

pytestmark = pytest.mark.django_db

PORTS = {"aurora": 9101, "borealis": 9102, "llama": 9103}
ME = Actor.system("tests")


@pytest.fixture
def seed(settings, monkeypatch, tmp_path) -> Callable[..., dict[str, str]]:
    """Runs the seed as `make run` does, and gives back demo.env."""
    settings.DATA_DIR = tmp_path
    settings.PUBLIC_URL = "http://127.0.0.1:8000"

    def seed(ports: dict[str, int] = PORTS, secret: str = "one") -> dict[str, str]:
        environment = upstreams.environment(ports, secret, "")
        settings.EGRESS_ALLOW = environment["EGRESS_ALLOW"]
        monkeypatch.setenv("DEMO_UPSTREAMS", environment["DEMO_UPSTREAMS"])
        call_command("seed_demo")
        return read_env(tmp_path / "demo.env")

    return seed


def demo() -> Organization:
    return Organization.objects.get(name="Demo")


def test_the_file_holds_all_that_a_script_needs(seed, tmp_path: Path):
    env = seed()
    assert env["OPENAI_BASE_URL"] == "http://127.0.0.1:8000/v1"
    assert env["SHAREAI_URL"] == "http://127.0.0.1:8000"
    assert stat.S_IMODE((tmp_path / "demo.env").stat().st_mode) == 0o600
    user = User.objects.get(email=env["SHAREAI_EMAIL"])
    assert user.check_password(env["SHAREAI_PASSWORD"])
    for name, scope in (("OPENAI_API_KEY", "inference"), ("SHAREAI_MANAGE_KEY", "manage")):
        parts = apikeys.parse(env[name])
        row = ApiKey.objects.get(public_id=parts.public_id)
        assert (row.scopes, row.org) == ([scope], demo())
        assert apikeys.matches(parts, bytes(row.secret_hash))


def test_two_simulated_providers_serve_one_model_at_two_prices(seed):
    seed()
    targets = {target.name: target for target in load_targets(demo().pk)}
    aurora, borealis = targets[f"aurora/{upstreams.CHAT}"], targets[f"borealis/{upstreams.CHAT}"]
    assert aurora.model_id == borealis.model_id == upstreams.CHAT
    assert aurora.simulated
    assert borealis.simulated
    assert aurora.price.output_nanos > borealis.price.output_nanos > 0
    assert aurora.priority < borealis.priority
    assert aurora.credentials[0].headers[0][1] == f"Bearer {upstreams.key_of('aurora', 'one')}"
    embedding = targets[f"aurora/{upstreams.EMBEDDING}"]
    assert (embedding.kind, embedding.capabilities) == ("embedding", frozenset())
    assert not targets[f"llama/{upstreams.TINY}"].simulated


def test_a_second_run_changes_nothing(seed):
    first = seed()
    versions = list(Organization.objects.values_list("version", flat=True))
    connections = list(Connection.objects.order_by("pk").values())
    assert seed() == first
    assert list(Organization.objects.values_list("version", flat=True)) == versions
    assert list(Connection.objects.order_by("pk").values()) == connections
    assert (ApiKey.objects.count(), ConnectionKey.objects.count(), User.objects.count()) == (2, 3, 1)


def test_moved_ports_and_new_upstream_keys_are_followed(seed):
    seed()
    seed(PORTS | {"aurora": 9201}, secret="two")
    [aurora] = [target for target in load_targets(demo().pk) if target.name == f"aurora/{upstreams.CHAT}"]
    assert aurora.base_url == "http://127.0.0.1:9201/v1"
    assert [key.headers[0][1] for key in aurora.credentials] == [f"Bearer {upstreams.key_of('aurora', 'two')}"]
    assert ConnectionKey.objects.count() == 3


def test_what_a_person_changed_stays(seed):
    seed()
    borealis = Connection.objects.get(slug="borealis")
    services.disable_connection(borealis, ME)
    services.update_connection(borealis, ME, name="North", priority=1)
    services.set_models(borealis, ME, [{"id": "mine", "input_price": "1", "output_price": "1"}])
    seed(PORTS | {"borealis": 9202})
    borealis.refresh_from_db()
    assert (borealis.name, borealis.priority, borealis.enabled) == ("North", 1, False)
    assert [model.model_id for model in borealis.served_models.all()] == ["mine"]
    assert borealis.base_url == "http://127.0.0.1:9202/v1"


def test_a_revoked_key_is_made_anew_and_the_other_is_not(seed):
    first = seed()
    row = ApiKey.objects.get(public_id=apikeys.parse(first["OPENAI_API_KEY"]).public_id)
    keys.revoke_key(row, ME)
    second = seed()
    assert second["OPENAI_API_KEY"] != first["OPENAI_API_KEY"]
    assert second["SHAREAI_MANAGE_KEY"] == first["SHAREAI_MANAGE_KEY"]


def test_a_lost_file_brings_new_keys_for_the_same_person(seed, tmp_path: Path):
    first = seed()
    (tmp_path / "demo.env").unlink()
    second = seed()
    assert second["OPENAI_API_KEY"] != first["OPENAI_API_KEY"]
    assert User.objects.count() == Organization.objects.filter(name="Demo").count() == 1


def test_a_password_that_the_person_changed_is_theirs_alone(seed):
    env = seed()
    user = User.objects.get(email=env["SHAREAI_EMAIL"])
    user.set_password("my own words, thank you")
    user.save()
    assert seed()["SHAREAI_PASSWORD"] == ""
    assert User.objects.get().check_password("my own words, thank you")


@pytest.mark.parametrize("value", ["{", '{"zephyr": {"base_url": "http://x", "api_key": "k"}}'])
def test_a_wrong_environment_is_told(seed, monkeypatch, value):
    monkeypatch.setenv("DEMO_UPSTREAMS", value)
    with pytest.raises(CommandError, match="DEMO_UPSTREAMS"):
        call_command("seed_demo")


def test_the_benchmark_gets_three_targets_per_model(settings, capsys):
    settings.EGRESS_ALLOW = "127.0.0.1:9300"
    call_command("bench_seed", "--upstream", "http://127.0.0.1:9300/v1")
    said = json.loads(capsys.readouterr().out)
    key = ApiKey.objects.get(public_id=apikeys.parse(said["api_key"]).public_id)
    targets = load_targets(key.org_id)
    for case in ("unary", "stream", "paced"):
        serving = [target for target in targets if target.model_id == said["models"][case]]
        assert len(serving) == 3
        assert all(target.price and target.credentials for target in serving)
    assert said["model"] == "bench-unary"


def test_the_benchmark_gets_a_key_under_limits_of_three_scopes_and_a_budget(settings, capsys):
    settings.EGRESS_ALLOW = "127.0.0.1:9300"
    call_command("bench_seed", "--upstream", "http://127.0.0.1:9300/v1")
    said = json.loads(capsys.readouterr().out)
    key = ApiKey.objects.get(public_id=apikeys.parse(said["api_keys"]["governed"]).public_id)
    rows = {row.scope: row for row in Limit.objects.of(key.org)}
    assert {scope for scope, row in rows.items() if row.rpm} == {"organisation", "member", "key"}
    assert rows["organisation"].budgets.count() == 1
    assert len([t for t in load_targets(key.org_id) if t.model_id == said["models"]["governed"]]) == 3
    assert not Limit.objects.filter(org__slug=said["organization"]).exists()


def test_a_machine_gets_a_token_once_and_a_lost_database_brings_another(seed, tmp_path: Path):
    seed()
    path = machine.home_of(tmp_path) / machine.ENROLMENT
    token = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert EnrolmentToken.objects.get().token_hash == digest(token)
    seed()
    assert path.read_text().strip() == token
    EnrolmentToken.objects.all().delete()
    (path.parent / "config.json").write_text(json.dumps({"node": "node_of_another_database"}))
    seed()
    assert path.read_text().strip() != token
    assert machine.enrolled(path.parent) is None


def test_a_machine_that_is_in_gets_no_token_even_when_its_owner_removed_it(seed, tmp_path: Path, enrolled_machine):
    seed()
    home = machine.home_of(tmp_path)
    row = enrolled_machine(demo(), (home / machine.ENROLMENT).read_text().strip())
    (home / "config.json").write_text(json.dumps({"node": row.public_id}))
    remove_node(row, ME)
    seed()
    assert EnrolmentToken.objects.count() == 1


@pytest.fixture
def enrolled_machine() -> Callable[[Organization, str], Node]:
    def enrol(org: Organization, token: str) -> Node:
        answer = Machine().enrol(token, name=machine.NAME)
        assert answer.status_code == 201, answer.content
        return Node.objects.of(org).get()

    return enrol


def test_a_machine_follows_the_console_to_another_port(tmp_path: Path):
    path = tmp_path / "config.json"
    machine.follow(tmp_path, "http://127.0.0.1:8000")
    assert not path.exists()
    path.write_text(json.dumps({"node": "node_1", "console": "http://127.0.0.1:8000", "connect_url": "ws://x"}))
    machine.follow(tmp_path, "http://127.0.0.1:9000")
    assert json.loads(path.read_text()) == {
        "node": "node_1",
        "console": "http://127.0.0.1:9000",
        "connect_url": "ws://127.0.0.1:9000/nodes/v1/connect",
    }


def test_there_are_guests_who_may_use_the_machine_once_it_is_offered_and_causes_to_give_to(seed):
    seed()
    Cause.objects.update(name="Mine")
    seed()
    guests = Organization.objects.get(name="Demo guests")
    assert guests.uses_community_nodes
    assert balance(guests).available == 10 * NANOS_PER_USD
    assert {cause.name for cause in Cause.objects.all()} == {"Mine"}

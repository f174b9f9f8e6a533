"""What a process knows of an organisation is of one moment, whatever is changed while it is being loaded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from accounts.limits import set_limits
from accounts.scopes import ORGANISATION
from routing import sources
from routing.services import put_route
from tests.stack import Tenant, allow_of, make_tenant

ROUTE = "made-meanwhile"


@pytest.fixture
def acme(django_db_setup, django_db_blocker, settings, upstreams):
    settings.EGRESS_ALLOW = allow_of(upstreams)
    with django_db_blocker.unblock():
        tenant = make_tenant()
        tenant.connect(upstreams.a.base_url, ["sim-chat"])
        yield tenant


def change(tenant: Tenant) -> None:
    set_limits(tenant.org, tenant.actor, ORGANISATION, wishes={"rpd": 10})
    put_route(tenant.org, tenant.actor, ROUTE, {"targets": [{"target": "sim-chat"}]})
    connection.close()


def test_a_change_in_the_middle_is_wholly_of_the_next_load(acme, monkeypatch):
    load_routes = sources.load_routes

    def after_a_change(org_id: int):
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(change, acme).result(30)
        return load_routes(org_id)

    monkeypatch.setattr(sources, "load_routes", after_a_change)
    before = sources.LOADER.load(acme.org.pk)
    monkeypatch.setattr(sources, "load_routes", load_routes)
    after = sources.LOADER.load(acme.org.pk)
    assert (before.limits, ROUTE in before.routes) == (None, False)
    assert after.limits is not None
    assert ROUTE in after.routes
    assert after.version > before.version

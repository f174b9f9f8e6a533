from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Organization
from accounts.organizations import delete_organization


def run(*slugs: str) -> str:
    out = StringIO()
    call_command("verify_audit", *slugs, stdout=out)
    return out.getvalue()


def test_all_organizations_are_verified_deleted_ones_too(acme, rival, as_alice):
    delete_organization(acme, as_alice, "Acme")
    output = run()
    assert "acme: verified, 2 events, head " in output
    assert "rival: verified, 1 events, head " in output


def test_those_named_only(acme, rival):
    assert "rival" not in run("acme")


def test_a_broken_chain_ends_it_with_an_error(acme, rival):
    Organization.objects.filter(pk=acme.pk).update(audit_length=2)
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("verify_audit", stdout=out)
    assert "acme: BROKEN at event 2 (cut off)" in out.getvalue()
    assert "rival: verified" in out.getvalue()


def test_an_unknown_slug(db):
    with pytest.raises(CommandError, match="nobody"):
        run("nobody")

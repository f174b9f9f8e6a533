import pytest
from allauth.core.exceptions import ReauthenticationRequired
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import PermissionDenied

from accounts import current, roles
from accounts.errors import OrganizationGone
from accounts.models import Membership
from accounts.organizations import create_organization, delete_organization


@pytest.fixture
def request_of(rf, db):
    def request_of(user, **headers):
        request = rf.get("/", **headers)
        request.user, request.session = user, SessionStore()
        return request

    return request_of


@pytest.fixture
def second(acme, alice):
    return create_organization(alice, "Second")


def test_the_first_organization_is_the_one_to_begin_with(acme, second, alice, request_of):
    membership = current.membership_of(request_of(alice))
    assert (membership.org, membership.role) == (acme, roles.OWNER)


def test_the_chosen_one_stays(acme, second, alice, request_of):
    request = request_of(alice)
    assert current.switch(request, second.public_id).org == second
    assert current.membership_of(request).org == second


def test_nobody_switches_into_an_organization_of_others(acme, rival, alice, request_of):
    request = request_of(alice)
    for organization_id in (rival.public_id, "org_nothing", ""):
        with pytest.raises(OrganizationGone) as refusal:
            current.switch(request, organization_id)
        assert refusal.value.body()["error"]["code"] == "not_found"
    assert current.membership_of(request).org == acme


def test_whoever_was_removed_falls_back(acme, second, alice, request_of):
    request = request_of(alice)
    current.switch(request, second.public_id)
    Membership.objects.get_of(second, user=alice).delete()
    assert current.membership_of(request).org == acme


def test_a_deleted_organization_is_gone_from_the_list(acme, second, alice, as_alice, request_of):
    request = request_of(alice)
    current.switch(request, second.public_id)
    delete_organization(second, as_alice, "Second")
    assert [membership.org for membership in current.memberships_of(alice)] == [acme]
    assert current.membership_of(request).org == acme


def test_a_user_without_any_and_a_visitor(make_user, request_of):
    assert current.membership_of(request_of(make_user("lone@x.test"))) is None
    visitor = request_of(AnonymousUser())
    assert current.membership_of(visitor) is None
    with pytest.raises(OrganizationGone):
        current.switch(visitor, "org_x")


def test_one_question_to_the_database(acme, alice, request_of, django_assert_num_queries):
    request = request_of(alice)
    with django_assert_num_queries(1):
        membership = current.membership_of(request)
        assert (membership.org.name, membership.user.email) == ("Acme", alice.email)


def test_the_actor_of_a_request(alice, request_of, settings):
    actor = current.actor_of(request_of(alice, HTTP_USER_AGENT="Browser", REMOTE_ADDR="192.0.2.8"))
    assert (actor.type, actor.id, actor.label) == ("user", str(alice.pk), alice.email)
    assert (actor.ip, actor.user_agent) == ("192.0.2.8", "Browser")
    with pytest.raises(TypeError):
        current.actor_of(request_of(AnonymousUser()))


@pytest.mark.parametrize(("proxies", "ip"), [(0, "192.0.2.8"), (1, "198.51.100.2"), (2, "198.51.100.1")])
def test_a_forwarded_address_counts_only_from_own_proxies(alice, request_of, settings, proxies, ip):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    forwarded = {"HTTP_X_FORWARDED_FOR": "198.51.100.1, 198.51.100.2", "REMOTE_ADDR": "192.0.2.8"}
    assert current.actor_of(request_of(alice, **forwarded)).ip == ip


def test_a_request_that_passed_by_a_proxy_has_no_address(alice, request_of, settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 3
    forwarded = {"HTTP_X_FORWARDED_FOR": "198.51.100.1, 198.51.100.2", "REMOTE_ADDR": "192.0.2.8"}
    with pytest.raises(PermissionDenied):
        current.actor_of(request_of(alice, **forwarded))


def test_a_visitor_proved_nothing(request_of, make_user):
    with pytest.raises(ReauthenticationRequired):
        current.require_recent_authentication(request_of(AnonymousUser()))
    with pytest.raises(ReauthenticationRequired):
        current.require_recent_authentication(request_of(make_user("x@x.test", password="long enough for it")))

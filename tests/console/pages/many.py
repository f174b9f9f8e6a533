"""An organisation with many of everything that a page lists."""

from __future__ import annotations

from datetime import date, timedelta

from django.utils import timezone

from accounts import roles
from accounts.audit import Actor
from accounts.invitations import invite
from accounts.keys import create_key
from accounts.limits import set_limits
from accounts.models import Membership, Organization, User
from accounts.scopes import MODEL
from billing import credits
from billing.earnings.models import Case, Cause, Donation, Lot, Programme
from billing.models import MonthlyStatement
from common.ids import new_id
from console.models import SmokeRun
from console.smoke import report
from nodes.enrolment import create_token
from nodes.models import COMMUNITY, NodeModel, NodeShare
from providers.alerts import raise_alert
from providers.models import Alert, HealthChange
from routing.cache_services import put_policy
from routing.drafts import save_draft
from routing.drills import start_drill
from routing.models import Simulation
from routing.services import put_route
from tests.console.activity import export_of
from tests.console.money import paid_out, paid_top_up
from tests.console.pages import machines
from tests.console.pages.conftest import answered, connect, failed, record


class Plenty:
    """Grows: `to(3)`, later `to(12)`."""

    def __init__(self, organization: Organization, actor: Actor) -> None:
        self.organization, self.actor, self.count = organization, actor, 0
        self.token = create_token(organization, actor, count=100).plain

    def to(self, count: int) -> None:
        for number in range(self.count, count):
            name = f"{number:02d}"
            self._people(name)
            self._providers_and_routes(name)
            self._machine(name, number)
            self._money(name, number)
            self._runs(name)
        self.count = count

    def _people(self, name: str) -> None:
        user = User.objects.create_user(f"person{name}@acme.test", name=f"Person {name}")
        Membership.objects.create(org=self.organization, user=user, role=roles.DEVELOPER)
        invite(self.organization, self.actor, email=f"guest{name}@acme.test", role=roles.VIEWER)
        key = create_key(self.organization, self.actor, name=f"App {name}", scopes=["inference"], created_by=user).key
        tries = [failed(f"cloud-{name}/m-{name}"), answered(f"node/desk-{name}/n-{name}")]
        of = {"user_id": user.pk, "model": f"m-{name}", "route": f"route-{name}", "prompt_hash": 7}
        record(self.organization, key, 5, attempts=tries, **of)
        record(self.organization, key, 4, attempts=tries, **of)
        other = User.objects.create_user(f"owner{name}@acme.test")
        Membership.objects.create(org=self._guest(name), user=other, role=roles.OWNER)
        me = User.objects.get(pk=int(self.actor.id))
        Membership.objects.create(org=self._guest(name), user=me, role=roles.OWNER)

    def _guest(self, name: str) -> Organization:
        made, _is_new = Organization.objects.get_or_create(
            slug=f"guest-{name}", defaults={"name": f"Guest {name}", "public_id": f"org_guest{name}"}
        )
        return made

    def _providers_and_routes(self, name: str) -> None:
        cloud = connect(self.organization, self.actor, f"Cloud {name}", [(f"m-{name}", "chat"), ("shared", "chat")])
        raise_alert(cloud, Alert.DOWN, reason="server_error")
        HealthChange.objects.create(
            org=self.organization, connection_id=cloud.pk, name=cloud.slug, before="up", after="down"
        )
        target = {"targets": [{"target": f"cloud-{name}/m-{name}"}]}
        put_route(self.organization, self.actor, f"route-{name}", target)
        draft = save_draft(self.organization, self.actor, f"route-{name}", target | {"private": True})
        put_policy(self.organization, self.actor, scope="model", subject=f"m-{name}", ttl_s=60)
        set_limits(
            self.organization, self.actor, MODEL, f"m-{name}",
            wishes={"rpm": 60, "budgets": [{"amount_usd": "5", "window": "monthly"}]},
        )  # fmt: skip
        start_drill(self.organization, self.actor, f"cloud-{name}/m-{name}", 600)
        Simulation.objects.create(
            org=self.organization, public_id=new_id("sim"), name=draft.name, content=draft.content,
            begins_at=timezone.now(), ends_at=timezone.now(), actor_label="x",
        )  # fmt: skip

    def _machine(self, name: str, number: int) -> None:
        node = machines.new_node(self.organization, self.actor, f"Desk {name}", self.token, visibility=COMMUNITY)
        machines.list_models(node, f"n-{name}", f"o-{name}")
        node.tags = [f"tag-{name}"]
        node.save()
        NodeShare.objects.create(org=self.organization, node=node, guest=self._guest(name))
        create_token(self.organization, self.actor)
        for model in node.served_models.all():
            self._earned(model, name, number)

    def _earned(self, model: NodeModel, name: str, number: int) -> None:
        now = timezone.now()
        for version in (2, 3):
            NodeModel.objects.filter(pk=model.pk).update(input_price_nanos=version * 10**9, price_version=version)
        cause = Cause.objects.create(slug=f"cause-{model.pk}", name=f"Cause {model.pk}", summary="Does good.")
        for days in range(3):
            lot = Lot.objects.create(
                org=self.organization, target_id=-model.pk, day=now.date() - timedelta(days=days + number),
                requests=1, input_tokens=10, output_tokens=5, paid=10, earned=7, escrow=5, donated=2,
            )  # fmt: skip
            Donation.objects.create(lot=lot, cause=cause, nanos=2)
            Case.objects.create(
                org=self.organization, public_id=new_id("case"), lot=lot, node=model.node,
                upstream_id=model.upstream_id, opened_at=now, answer_until=now,
            )  # fmt: skip
        theirs = Programme.objects.create(org=self._guest(f"{name}-{model.pk}"), is_public=True, public_name=name)
        Lot.objects.create(org=theirs.org, target_id=-model.pk, day=now.date(), requests=1, input_tokens=number)

    def _money(self, name: str, number: int) -> None:
        credits.give(self.organization, self.actor, 10**9, purpose=f"gift-{name}", reason="A gift")
        paid_top_up(self.organization, name)
        paid_out(self.organization, name)
        month = date(2020 + number // 12, number % 12 + 1, 1)
        document = {"accounts": [], "usage": [], "corrections": []}
        MonthlyStatement.objects.create(
            org=self.organization, public_id=new_id("stmt"), month=month, zone="UTC", document=document, cuts={}
        )

    def _runs(self, name: str) -> None:
        export_of(self.organization, self.actor)
        now = timezone.now()
        SmokeRun.objects.create(
            org=self.organization, public_id=new_id("smoke"), checks=[report.ANSWERS], verdict="passed",
            actor_type="user", actor_id=self.actor.id, actor_label=name, ended_at=now,
        )  # fmt: skip

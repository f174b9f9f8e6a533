"""What the seed does for the demo's own machine: a token with which it comes in at its first start."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from accounts.audit import Actor
from accounts.models import Organization
from console.embedded.keep import write_private
from console.embedded.machine import ENROLMENT, enrolled, home_of
from nodes.enrolment import LONGEST_TTL_S, create_token
from nodes.models import EnrolmentToken, Node
from nodes.tokens import digest


def seed_machine(organization: Organization, actor: Actor, data_dir: Path) -> None:
    """Leaves a token where there is no machine yet. One that its owner removed does not come back."""
    home = home_of(data_dir)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    saved = enrolled(home)
    if saved is not None and Node.objects.of(organization).filter(public_id=saved.get("node")).exists():
        return
    for stale in ("config.json", "identity.key"):  # of a database that is no more
        (home / stale).unlink(missing_ok=True)
    path = home / ENROLMENT
    if not (path.exists() and _lets_in(organization, path.read_text().strip())):
        write_private(path, create_token(organization, actor, ttl_s=LONGEST_TTL_S).plain + "\n")


def _lets_in(organization: Organization, token: str) -> bool:
    """For so long that the first start, which comes at once, cannot miss it."""
    soon = timezone.now() + timedelta(hours=1)
    found = EnrolmentToken.objects.of(organization).filter(token_hash=digest(token), used=0, revoked_at=None)
    return bool(found.filter(expires_at__gt=soon).exists())

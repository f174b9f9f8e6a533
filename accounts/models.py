"""Who there is: users, organisations, memberships, invitations, API keys, entitlements, the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import roles
from accounts.scopes import TOKENS_FIRST
from accounts.tenancy import TenantModel
from common.ids import new_id


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        if not email:
            raise ValueError("A user needs an e-mail address")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True} | fields)


class User(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(_("e-mail address"), unique=True)
    name = models.CharField(_("name"), max_length=120, blank=True)
    language = models.CharField(_("language"), max_length=8, default="en")
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    date_joined = models.DateTimeField(default=timezone.now)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.name or self.email.split("@")[0]


class Organization(models.Model):
    """A tenant. `version` grows with every change that the data plane must see; `audit_*` end its audit chain."""

    public_id = models.CharField(max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    version = models.BigIntegerField(default=1)
    audit_length = models.BigIntegerField(default=0)
    audit_head = models.BinaryField(max_length=32, default=bytes(32))
    time_zone = models.CharField(_("time zone"), max_length=60, default="UTC")
    default_strategy = models.CharField(_("default strategy"), max_length=20, default="priority")
    log_content = models.BooleanField(_("log prompts and answers"), default=False)
    retention_days = models.PositiveIntegerField(_("keep logs for (days)"), default=30)
    content_days = models.PositiveIntegerField(_("keep prompts and answers for (days)"), default=7)
    content_purged_at = models.DateTimeField(null=True, blank=True)  # what began before is never stored
    uses_community_nodes = models.BooleanField(_("may use machines of the community"), default=False)
    spending_order = models.CharField(_("what pays first"), max_length=20, db_default=TOKENS_FIRST)
    credit_backup = models.BooleanField(_("credits pay when tokens are used up"), db_default=True)
    credit_backup_unlike = ArrayField(models.CharField(max_length=200), default=list, db_default=[], blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


def new_membership_id() -> str:
    return new_id("mem")


class Membership(TenantModel):
    public_id = models.CharField(max_length=40, unique=True, default=new_membership_id)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    org = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=20)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["org", "user"], name="membership_once_per_org"),
            models.UniqueConstraint(fields=["org", "id"], name="membership_of_org"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.org}: {self.role}"

    def allows(self, permission: roles.Permission) -> bool:
        return roles.allows(self.role, permission)


class Invitation(TenantModel):
    """An offer of membership, sent by e-mail; the link's token is stored only as its SHA-256."""

    public_id = models.CharField(max_length=40, unique=True)
    email = models.EmailField(_("e-mail address"))
    role = models.CharField(_("role"), max_length=20)
    token_hash = models.BinaryField(max_length=32, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    is_undelivered = False
    """Whether the mail server refused the e-mail just now: told to whoever invites, and not stored."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["org", "email"],
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="invitation_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} as {self.role}"

    def is_open(self, now: datetime) -> bool:
        return self.accepted_at is None and self.revoked_at is None and self.expires_at > now


class ApiKey(TenantModel):
    """A key of the `/v1` endpoint or of the management API.

    The secret itself is never stored: `secret_hash` is the SHA-256 of its 32 characters. A rotation makes a new
    row that points at the old one, whose `expires_at` becomes the end of the overlap.
    """

    public_id = models.CharField(max_length=12, unique=True)
    secret_hash = models.BinaryField(max_length=32)
    name = models.CharField(_("name"), max_length=80)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    scopes = ArrayField(models.CharField(max_length=30), default=list, verbose_name=_("scopes"))
    allowed_models = ArrayField(
        models.CharField(max_length=200), null=True, blank=True, verbose_name=_("allowed models")
    )
    ip_allow = ArrayField(
        models.CharField(max_length=50), default=list, blank=True, verbose_name=_("allowed addresses")
    )
    tags = ArrayField(models.CharField(max_length=60), default=list, blank=True, verbose_name=_("tags"))
    logs_content = models.BooleanField(_("prompts and answers may be kept"), default=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    replaces = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="replaced_by")
    is_ephemeral = models.BooleanField(default=False, help_text="made for the Playground, hidden from lists")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "id"], name="apikey_of_org")]
        indexes = [models.Index(fields=["org", "-created_at"], name="apikey_org_created")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def prefix(self) -> str:
        return f"sk-sai-{self.public_id}"

    def status(self, now: datetime) -> str:
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active"


class Entitlement(TenantModel):
    """What an organisation may use, written by billing and read by routing through the snapshot."""

    name = models.CharField(max_length=60)
    value = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "name"], name="entitlement_once_per_org")]

    def __str__(self) -> str:
        return self.name


class Limit(TenantModel):
    """How much may come within a scope; what is None is not limited. Read and written by `accounts.limits`.

    `subject` is "" for the organisation, a user's id, the id of the first key in a line of rotations, the name of a
    route or a model, the public id of a machine.
    """

    scope = models.CharField(max_length=20)
    subject = models.CharField(max_length=260, blank=True)
    rpm = models.BigIntegerField(_("requests per minute"), null=True, blank=True)
    rpd = models.BigIntegerField(_("requests per day"), null=True, blank=True)
    tpm = models.BigIntegerField(_("tokens per minute"), null=True, blank=True)
    tpd = models.BigIntegerField(_("tokens per day"), null=True, blank=True)
    concurrency = models.BigIntegerField(_("requests at a time"), null=True, blank=True)
    when_reached = models.CharField(max_length=10, db_default="block", default="block")  # of its budgets

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "scope", "subject"], name="limit_once_per_subject")]

    def __str__(self) -> str:
        return f"{self.scope} {self.subject}".strip()


class Budget(TenantModel):
    """How much the limit's subject may spend in each window: nano-USD or tokens. Written by `accounts.limits`."""

    limit = models.ForeignKey(Limit, on_delete=models.CASCADE, related_name="budgets")
    unit = models.CharField(max_length=10)  # usd, tokens
    window = models.CharField(max_length=10)  # daily, weekly, monthly, lifetime
    amount = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["limit", "unit", "window"], name="budget_once_per_window"),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="budget_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.window} {self.amount} {self.unit}"


class Noted(models.Model):
    """One configuration or security action, in a chain of them.

    `digest` chains the events of one trail: SHA-256 over the previous digest and this event's canonical JSON.
    """

    public_id = models.CharField(max_length=40, unique=True)
    sequence = models.BigIntegerField()
    at = models.DateTimeField(default=timezone.now)
    actor_type = models.CharField(max_length=10)  # user, key, system, visitor
    actor_id = models.CharField(max_length=60)
    actor_label = models.CharField(max_length=254)
    action = models.CharField(max_length=60)
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=60)
    object_label = models.CharField(max_length=254, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)
    previous_digest = models.BinaryField(max_length=32)
    digest = models.BinaryField(max_length=32)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.action} {self.object_type} {self.object_id}"


class AuditEvent(Noted, TenantModel):
    """Of an organisation's trail. Append-only: triggers refuse UPDATE, DELETE and TRUNCATE."""

    org = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "sequence"], name="audit_sequence_once")]
        indexes = [models.Index(fields=["org", "-at"], name="audit_org_at")]


class OperatorEvent(Noted):
    """Of the operator's trail: what staff and commands did that is no organisation's. Append-only as the others."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sequence"], name="operator_event_sequence_once")]


class OperatorTrail(models.Model):
    """The length and the last digest of the operator's trail, in its only row."""

    audit_length = models.BigIntegerField(default=0)
    audit_head = models.BinaryField(max_length=32, default=bytes(32))

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="operator_trail_is_one")]

    def __str__(self) -> str:
        return f"{self.audit_length} events"

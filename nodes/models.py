"""Rows behind own machines: nodes, the models they serve, who else may use them, the tokens that enrol them.

What changes by the second (who is connected, how busy) is never here: see `nodes.fleet`.
"""

from __future__ import annotations

from datetime import datetime

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from accounts.tenancy import TenantModel

ALWAYS, IDLE, MANUAL = "always", "idle", "manual"
MODES = (ALWAYS, IDLE, MANUAL)
PRIVATE, SHARED, COMMUNITY = "private", "shared", "community"
VISIBILITIES = (PRIVATE, SHARED, COMMUNITY)
MOST_CONCURRENT = 256


class EnrolmentToken(TenantModel):
    """Lets `count` machines in until it expires; its text is stored only as its SHA-256."""

    public_id = models.CharField(max_length=40, unique=True)
    token_hash = models.BinaryField(max_length=32, unique=True)
    count = models.PositiveIntegerField(_("machines"), default=1)
    used = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["org", "id"], name="enrolmenttoken_of_org"),
            models.CheckConstraint(
                condition=models.Q(used__lte=models.F("count")), name="enrolmenttoken_not_overused"
            ),
        ]
        indexes = [models.Index(fields=["org", "-created_at"], name="enrolmenttoken_org_created")]

    def __str__(self) -> str:
        return f"{self.public_id} ({self.used}/{self.count})"

    def status(self, now: datetime) -> str:
        if self.revoked_at is not None:
            return "revoked"
        if self.used >= self.count:
            return "used"
        return "expired" if self.expires_at <= now else "open"


class Node(TenantModel):
    """A machine with a key pair of its own. What it may serve, to whom and at which price is the owner's to say.

    `generation` grows with each connection, so that the newest one wins. `origin` is the console's address as the
    machine proved it when it enrolled: what it signs at each connection. A removed node keeps its row, for the agent
    to be told that it is not wanted any more; it is in no list.
    """

    public_id = models.CharField(max_length=40, unique=True)
    slug = models.SlugField(_("short name"), max_length=40)
    name = models.CharField(_("name"), max_length=80)
    public_key = models.BinaryField(max_length=32)
    enrolled_with = models.ForeignKey(EnrolmentToken, on_delete=models.SET_NULL, null=True, related_name="nodes")
    origin = models.CharField(max_length=300, blank=True)
    hostname = models.CharField(max_length=255, blank=True)
    os = models.CharField(max_length=10)  # linux, macos, windows
    os_version = models.CharField(max_length=80, blank=True)
    arch = models.CharField(max_length=40, blank=True)
    version = models.CharField(max_length=40)  # of the agent

    tags = models.JSONField(_("tags"), default=list, blank=True)
    visibility = models.CharField(_("who may use it"), max_length=10, default=PRIVATE)
    paused = models.BooleanField(_("paused"), default=False)
    draining_since = models.DateTimeField(null=True, blank=True)
    max_concurrent = models.PositiveIntegerField(
        _("requests at a time"), default=4, validators=[MinValueValidator(1), MaxValueValidator(MOST_CONCURRENT)]
    )
    priority = models.PositiveIntegerField(_("priority"), default=100, help_text=_("lower is tried first"))
    advertise_new = models.BooleanField(_("offer models found later"), default=True)
    exposure_percent = models.PositiveSmallIntegerField(default=100, db_default=100)  # among equals: billing.earnings

    mode = models.CharField(_("when it serves"), max_length=10, default=ALWAYS)
    quiet_minutes = models.PositiveIntegerField(_("minutes without input"), default=10)
    gpu_below = models.FloatField(_("GPU load below"), default=0.2)
    calendar = models.JSONField(_("weekly calendar"), default=list, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=60, default="UTC")

    generation = models.BigIntegerField(default=0)
    local_server = models.JSONField(null=True, blank=True)
    last_reasons = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)
    first_seen_at = models.DateTimeField(null=True, blank=True)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["org", "id"], name="node_of_org"),
            models.UniqueConstraint(
                fields=["org", "slug"], condition=models.Q(removed_at=None), name="node_slug_once_per_org"
            ),
            models.UniqueConstraint(fields=["enrolled_with", "public_key"], name="node_once_per_token_and_key"),
        ]
        indexes = [models.Index(fields=["org", "-created_at"], name="node_org_created")]

    def __str__(self) -> str:
        return self.name


class NodeModel(TenantModel):
    """One model on one node: what becomes a Target. Prices are nano-USD per million tokens.

    `present` is whether the node listed it last; `trial_ok` is None until its test prompt was asked.
    """

    public_id = models.CharField(max_length=40, unique=True)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="served_models")
    upstream_id = models.CharField(_("model name on the machine"), max_length=200)
    model_id = models.CharField(_("public model"), max_length=200)
    runtime = models.CharField(max_length=20)
    kind = models.CharField(max_length=20, default="chat")  # chat, embedding
    advertised = models.BooleanField(_("offered"), default=True)
    for_others = models.BooleanField(_("offered to others too"), default=True)
    present = models.BooleanField(default=True)
    capabilities = models.JSONField(default=list, blank=True)
    context_tokens = models.PositiveIntegerField(_("context window"), null=True, blank=True)
    input_price_nanos = models.BigIntegerField(_("input price"), default=0)
    output_price_nanos = models.BigIntegerField(_("output price"), default=0)
    price_tiers = models.JSONField(default=list, blank=True)  # of long prompts: each a `providers.tiers.PriceTier`
    price_version = models.PositiveIntegerField(default=1)
    tokens_per_s = models.FloatField(null=True, blank=True)
    first_token_ms = models.FloatField(null=True, blank=True)
    trial_ok = models.BooleanField(null=True, blank=True)
    trial_error = models.CharField(max_length=200, blank=True)
    trial_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["node", "upstream_id"], name="node_model_once"),
            models.UniqueConstraint(fields=["node", "model_id"], name="node_model_name_once"),
            models.CheckConstraint(
                condition=models.Q(input_price_nanos__gte=0, output_price_nanos__gte=0), name="node_model_price_sane"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model_id} on {self.node}"


class NodeDoubt(TenantModel):
    """What was doubted of a machine's word on one day: see `nodes.recount`. `request_id` is of the last time."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="doubts")
    upstream_id = models.CharField(max_length=200)
    kind = models.CharField(max_length=20)
    day = models.DateField()
    times = models.PositiveIntegerField(default=0)
    said_tokens = models.BigIntegerField(default=0)
    counted_tokens = models.BigIntegerField(default=0)
    request_id = models.CharField(max_length=60, blank=True)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["node", "upstream_id", "kind", "day"], name="node_doubt_once_a_day"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.node} ({self.times})"


class NodeShare(TenantModel):
    """Another organisation that may use a shared node: the models of it that are offered to others."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="shares")
    guest = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "guest"], name="node_share_once")]

    def __str__(self) -> str:
        return f"{self.node} for {self.guest}"

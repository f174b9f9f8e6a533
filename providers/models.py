"""Rows behind targets: connections of the platform or of an organisation, their keys, the models they serve."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantQuerySet


class OwnedModel(models.Model):
    """A row of one organisation, or of the platform where `org` is empty."""

    org = models.ForeignKey(
        "accounts.Organization", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True


class Connection(OwnedModel):
    """An OpenAI-compatible endpoint. The platform's own may be used by every organisation."""

    public_id = models.CharField(max_length=40, unique=True)
    slug = models.SlugField(_("short name"), max_length=40)
    name = models.CharField(_("name"), max_length=80)
    preset = models.CharField(_("kind"), max_length=30, default="custom")
    adapter = models.CharField(max_length=30, default="openai")
    base_url = models.URLField(_("base URL"), max_length=300)
    priority = models.PositiveIntegerField(_("priority"), default=100, help_text=_("lower is tried first"))
    enabled = models.BooleanField(_("enabled"), default=True)
    simulated = models.BooleanField(default=False)
    options = models.JSONField(default=dict, blank=True)
    last_test = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["org", "slug"], name="connection_slug_once_per_org", nulls_distinct=False
            ),
            models.UniqueConstraint(fields=["org", "id"], name="connection_of_org"),
        ]

    def __str__(self) -> str:
        return self.name


class ConnectionKey(OwnedModel):
    """A vendor's API key, sealed. `origin` is the one it was saved for; a changed URL clears the key."""

    ACTIVE, PARKED = "active", "parked"

    public_id = models.CharField(max_length=40, unique=True)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="keys")
    label = models.CharField(_("label"), max_length=60, blank=True)
    sealed = models.BinaryField()
    hint = models.CharField(max_length=12, help_text="the last characters, to tell keys apart")
    origin = models.CharField(max_length=300)
    weight = models.PositiveIntegerField(_("weight"), default=1)
    state = models.CharField(max_length=10, default=ACTIVE)
    state_reason = models.CharField(max_length=200, blank=True)
    state_changed_at = models.DateTimeField(null=True, blank=True)
    retries = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(null=True, blank=True, help_text="when a parked key is tried again")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.label or 'key'} …{self.hint}"


class ServedModel(OwnedModel):
    """One model at one connection: what becomes a Target. Prices are USD per million tokens.

    `price_tiers` are what requests with long prompts cost as a whole: each a `providers.tiers.PriceTier`.
    """

    public_id = models.CharField(max_length=40, unique=True)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="served_models")
    model_id = models.CharField(_("public model"), max_length=200)
    upstream_id = models.CharField(_("model name upstream"), max_length=200)
    kind = models.CharField(max_length=20, default="chat")  # of providers.endpoints.KINDS
    enabled = models.BooleanField(_("enabled"), default=True)
    weight = models.PositiveIntegerField(_("weight"), default=1)
    input_price = models.DecimalField(_("input price"), max_digits=16, decimal_places=6, null=True, blank=True)
    cached_input_price = models.DecimalField(
        _("cached input price"), max_digits=16, decimal_places=6, null=True, blank=True
    )
    output_price = models.DecimalField(_("output price"), max_digits=16, decimal_places=6, null=True, blank=True)
    request_price = models.DecimalField(max_digits=16, decimal_places=9, default=0)
    cache_write_price = models.DecimalField(max_digits=16, decimal_places=6, null=True, blank=True)
    audio_input_price = models.DecimalField(max_digits=16, decimal_places=6, null=True, blank=True)
    reasoning_price = models.DecimalField(max_digits=16, decimal_places=6, null=True, blank=True)
    audio_output_price = models.DecimalField(max_digits=16, decimal_places=6, null=True, blank=True)
    price_tiers = models.JSONField(default=list, blank=True)
    price_source = models.CharField(max_length=20, default="manual")  # manual, catalog, none
    price_version = models.PositiveIntegerField(default=1)
    context_tokens = models.PositiveIntegerField(_("context window"), null=True, blank=True)
    max_output_tokens = models.PositiveIntegerField(_("most output tokens"), null=True, blank=True)
    capabilities = models.JSONField(default=list, blank=True)  # tools, json_schema, vision, …
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "model_id"], name="served_model_once"),
        ]

    def __str__(self) -> str:
        return f"{self.model_id} at {self.connection}"


class Pulse(OwnedModel):
    """What probes and live traffic last proved of a connection, and when it is looked at again.

    `down_until` is how long a connection that is down stays out of routing without another proof. `reason` is a code
    of `providers.diagnosis`, `proof` what told: `models`, `token`, `traffic` or `person`.
    """

    UNKNOWN, UP, DOWN = "unknown", "up", "down"

    connection = models.OneToOneField(Connection, on_delete=models.CASCADE, related_name="pulse")
    state = models.CharField(max_length=10, default=UNKNOWN)
    since = models.DateTimeField(default=timezone.now)
    reason = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=400, blank=True)
    proof = models.CharField(max_length=10, blank=True)
    failures = models.PositiveIntegerField(default=0)
    latency_ms = models.PositiveIntegerField(null=True)
    looked_at = models.DateTimeField(null=True)
    down_until = models.DateTimeField(null=True)
    next_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.connection_id} {self.state}"


class BreakerState(OwnedModel):
    """What all processes know of one target with one key, or by `WHOLE` with any, once its breaker ever opened.

    `target_id` is the id of `providers.targets.Target`, negative for a machine's model; `change` is the newest
    `HealthChange` of it.
    """

    CLOSED, OPEN, HELD = "closed", "open", "held_open"
    WHOLE = -1

    target_id = models.BigIntegerField()
    credential_id = models.BigIntegerField()
    target = models.CharField(max_length=260)
    state = models.CharField(max_length=10, default=CLOSED)
    since = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=40, blank=True)
    change = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["target_id", "credential_id"], name="breaker_once")]

    def __str__(self) -> str:
        return f"{self.target} {self.state}"


class HealthChange(OwnedModel):
    """One change of state of a connection (`target_id` 0) or of a target: when, from what, to what, why, by whom."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    connection_id = models.BigIntegerField(default=0, db_index=True)
    target_id = models.BigIntegerField(default=0, db_index=True)
    name = models.CharField(max_length=260)
    credential = models.CharField(max_length=40, blank=True)
    before = models.CharField(max_length=10)
    after = models.CharField(max_length=10)
    reason = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=400, blank=True)
    actor_label = models.CharField(max_length=254, blank=True)

    def __str__(self) -> str:
        return f"{self.name}: {self.before} → {self.after}"


class ProbeDay(OwnedModel):
    """How the probes of one day, in UTC, went."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="probe_days")
    day = models.DateField()
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "day"], name="probe_day_once")]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.day}"


class Alert(OwnedModel):
    """Something of a connection that its admins are told of, by e-mail and in the console, until it is over.

    `subject` is the key's public id for an alert about a key. There is one open alert per trouble.
    """

    KEY_PARKED, DOWN = "key_parked", "down"

    public_id = models.CharField(max_length=40, unique=True)
    kind = models.CharField(max_length=20)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="alerts")
    subject = models.CharField(max_length=40, blank=True)
    label = models.CharField(max_length=120, blank=True)
    reason = models.CharField(max_length=40, blank=True)
    raised_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "kind", "subject"],
                condition=models.Q(resolved_at=None),
                name="alert_open_once",
            ),
        ]
        indexes = [models.Index(fields=["org", "resolved_at"], name="alert_by_org")]

    def __str__(self) -> str:
        return f"{self.kind} {self.connection_id} {self.subject}".strip()

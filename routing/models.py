"""An organisation's routes: a public model name in front of targets, with a strategy; and what its cache keeps."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class Route(TenantModel):
    """`targets` is a list of `{"target": "<connection slug>/<model>", "weight": int, "tier": int}`; `spill_over` has
    the fields of `routing.snapshots.SpillOver`; `rules` are sentences as `routing.sentences` renders them."""

    public_id = models.CharField(max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=200)
    strategy = models.CharField(_("strategy"), max_length=20, default="priority")
    targets = models.JSONField(default=list)
    timeouts = models.JSONField(default=dict, blank=True)
    private = models.BooleanField(_("own machines only"), default=False)
    spill_over = models.JSONField(null=True, blank=True)
    rules = models.JSONField(default=list, blank=True)
    hedge = models.JSONField(null=True, blank=True)
    continue_streams = models.BooleanField(_("continue broken streams"), default=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["org", "name"], name="route_once_per_org"),
            models.UniqueConstraint(fields=["org", "id"], name="route_of_org"),
        ]

    def __str__(self) -> str:
        return self.name


class RouteVersion(TenantModel):
    """What a route said when it was published; `content` has the fields of `routing.versions.CONTENT`.

    `restored` is the number of the version that this one brought back.
    """

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    content = models.JSONField()
    restored = models.PositiveIntegerField(null=True)
    actor_label = models.CharField(max_length=254)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["route", "number"], name="version_once_per_route")]

    def __str__(self) -> str:
        return f"{self.route_id} v{self.number}"


class RouteDraft(TenantModel):
    """A route that is not live yet, or a live one's next version. `based_on` is the version it was begun from."""

    public_id = models.CharField(max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=200)
    content = models.JSONField()
    based_on = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "name"], name="draft_once_per_org")]

    def __str__(self) -> str:
        return self.name


class Canary(TenantModel):
    """Another version of a route, on trial with `percent` of its requests. It ends promoted, rolled back, or
    because something else was published meanwhile.
    """

    RUNNING, PROMOTED, ROLLED_BACK, SUPERSEDED = "running", "promoted", "rolled_back", "superseded"

    public_id = models.CharField(max_length=40, unique=True)
    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="canaries")
    content = models.JSONField()
    percent = models.PositiveSmallIntegerField()
    most_error_percent = models.PositiveSmallIntegerField(default=5)
    least_requests = models.PositiveIntegerField(default=50)
    state = models.CharField(max_length=12, default=RUNNING)
    reason = models.CharField(max_length=20, blank=True)
    actor_label = models.CharField(max_length=254)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["route"], condition=models.Q(state="running"), name="canary_once_per_route"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.route_id} {self.percent} % {self.state}"


class CanaryCount(TenantModel):
    """What became of one minute's requests while a canary ran: of its own, or of the stable version's."""

    canary = models.ForeignKey(Canary, on_delete=models.CASCADE, related_name="counts")
    is_canary = models.BooleanField()
    minute = models.DateTimeField()
    requests = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    ttft_ms_sum = models.BigIntegerField(default=0)
    ttft_count = models.BigIntegerField(default=0)
    duration_ms_sum = models.BigIntegerField(default=0)
    cost_nanos = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["canary", "is_canary", "minute"], name="canary_count_once"),
        ]

    def __str__(self) -> str:
        return f"{self.canary_id} {self.minute:%H:%M}"


class CachePolicy(TenantModel):
    """For how long answers are kept: of all requests, or of those to one route or model, or of one key.

    `subject` is the route's or model's name, or the key's public id; empty for the organisation. `ttl_s` 0 keeps
    nothing, whatever a wider policy says. See `routing.cache_rules.CacheRules`.
    """

    public_id = models.CharField(max_length=40, unique=True)
    scope = models.CharField(_("scope"), max_length=12)
    subject = models.CharField(_("for"), max_length=260, blank=True)
    ttl_s = models.PositiveIntegerField(_("seconds"))
    per_key = models.BooleanField(_("each key apart"), default=False)
    semantic = models.JSONField(null=True, blank=True)  # {"model", "threshold"}: answers for what means the same
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "scope", "subject"], name="cache_policy_once")]

    def __str__(self) -> str:
        return f"{self.scope} {self.subject}".strip()


class CachePurge(TenantModel):
    """How often the entries of a route or model, or under the empty name all entries, were thrown away."""

    name = models.CharField(max_length=260, blank=True)
    count = models.PositiveIntegerField(default=0)
    purged_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "name"], name="cache_purge_once")]

    def __str__(self) -> str:
        return f"{self.name or '*'} {self.count}"


class Drill(TenantModel):
    """`target` counts as down until `until`: the name of a target, or of a connection for all that it serves."""

    public_id = models.CharField(max_length=40, unique=True)
    target = models.CharField(_("target"), max_length=260)
    created_at = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField()
    actor_label = models.CharField(max_length=254)

    class Meta:
        indexes = [models.Index(fields=["org", "until"], name="drill_by_end")]

    def __str__(self) -> str:
        return f"{self.target} until {self.until}"


class Simulation(TenantModel):
    """What the draft of a route would have done with the requests between two times. `content` is what the draft said
    when it began; `report` has the fields of `routing.simulation.Report` once it is done."""

    WAITING, RUNNING, DONE, CANCELLED, FAILED = "waiting", "running", "done", "cancelled", "failed"

    public_id = models.CharField(max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=200)
    content = models.JSONField()
    traffic = models.CharField(max_length=200, blank=True)  # the route or model whose requests; empty: all
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    state = models.CharField(max_length=10, default=WAITING)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    report = models.JSONField(null=True)
    actor_label = models.CharField(max_length=254)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["org", "-created_at"], name="simulation_by_age")]

    def __str__(self) -> str:
        return f"{self.name} {self.state}"

    @property
    def is_over(self) -> bool:
        return self.state not in (self.WAITING, self.RUNNING)

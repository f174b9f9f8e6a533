"""The addresses below `/api/v1/`."""

from __future__ import annotations

from django.urls import path, re_path, register_converter
from django.urls.converters import StringConverter

from console.api import (
    alerts,
    audit,
    availability,
    billing,
    cache,
    drills,
    insight,
    keys,
    limits,
    nodes,
    organization,
    providers,
    requests,
    route_tests,
    route_versions,
    routes,
    simulations,
    smoke,
    statements,
    target_health,
    targets,
    usage,
    usage_exports,
)
from console.api.documents import schema_document
from console.api.frame import NothingHere


class RouteNameConverter(StringConverter):
    """Anything visible, slashes too."""

    regex = r"[^\x00-\x1f\x7f]+"


register_converter(RouteNameConverter, "route_name")

_PROVIDER = "providers/<slug:provider_id>"
_NODE = "nodes/<slug:node_id>"
_ROUTE = "routes/<route_name:name>"

urlpatterns = [
    path("keys", keys.KeysView.as_view()),
    path("keys/<slug:key_id>", keys.KeyView.as_view()),
    path("keys/<slug:key_id>/rotate", keys.KeyRotationView.as_view()),
    path("providers", providers.ProvidersView.as_view()),
    path(_PROVIDER, providers.ProviderView.as_view()),
    path(f"{_PROVIDER}/test", providers.ProviderTestView.as_view()),
    path(f"{_PROVIDER}/availability", availability.ProviderAvailabilityView.as_view()),
    path(f"{_PROVIDER}/keys", providers.ProviderKeysView.as_view()),
    path(f"{_PROVIDER}/keys/<slug:key_id>", providers.ProviderKeyView.as_view()),
    path("nodes", nodes.NodesView.as_view()),
    path("nodes/tokens", nodes.NodeTokensView.as_view()),
    path("nodes/tokens/<slug:token_id>", nodes.NodeTokenView.as_view()),
    path(_NODE, nodes.NodeView.as_view()),
    path(f"{_NODE}/pause", nodes.NodePauseView.as_view()),
    path(f"{_NODE}/drain", nodes.NodeDrainView.as_view()),
    path(f"{_NODE}/resume", nodes.NodeResumeView.as_view()),
    path("models", targets.ModelsView.as_view()),
    path("alerts", alerts.AlertsView.as_view()),
    path("targets", targets.TargetsView.as_view()),
    path("targets/<slug:target_id>/health", target_health.TargetHealthView.as_view()),
    path("routes", routes.RoutesView.as_view()),
    path("routes/simulate", simulations.SimulateView.as_view()),
    path("simulations", simulations.SimulationsView.as_view()),
    path("simulations/<slug:simulation_id>", simulations.SimulationView.as_view()),
    path("routes/explain", route_tests.ExplainView.as_view()),
    path(f"{_ROUTE}/versions", route_versions.RouteVersionsView.as_view()),
    path(f"{_ROUTE}/rollback", route_versions.RouteRollbackView.as_view()),
    path(f"{_ROUTE}/draft", route_versions.RouteDraftView.as_view()),
    path(f"{_ROUTE}/publish", route_versions.RoutePublishView.as_view()),
    path(_ROUTE, routes.RouteView.as_view()),
    path("drills", drills.DrillsView.as_view()),
    path("drills/<slug:drill_id>", drills.DrillView.as_view()),
    path("smoke", smoke.SmokeRunsView.as_view()),
    path("smoke/<slug:run_id>", smoke.SmokeRunView.as_view()),
    path("cache/policies", cache.CachePoliciesView.as_view()),
    path("cache/policies/<slug:policy_id>", cache.CachePolicyView.as_view()),
    path("cache/purge", cache.CachePurgeView.as_view()),
    path("cache/savings", cache.CacheSavingsView.as_view()),
    path("billing/balance", billing.BalanceView.as_view()),
    path("billing/entries", billing.EntriesView.as_view()),
    path("billing/top-ups", billing.TopUpsView.as_view()),
    path("billing/statements", statements.StatementsView.as_view()),
    path("billing/statements/<slug:statement_id>", statements.StatementView.as_view()),
    path("usage/exports", usage_exports.UsageExportsView.as_view()),
    path("usage/exports/<slug:export_id>", usage_exports.UsageExportView.as_view()),
    path("usage/exports/<slug:export_id>/file", usage_exports.UsageExportFileView.as_view()),
    path("usage", usage.UsageView.as_view()),
    path("insight/prompts", insight.PromptsView.as_view()),
    path("insight/targets", insight.TargetComparisonView.as_view()),
    path("requests", requests.RequestsView.as_view()),
    path("requests/<slug:request_id>", requests.RequestView.as_view()),
    path("audit-events", audit.AuditEventsView.as_view()),
    path("audit-events/verify", audit.AuditVerificationView.as_view()),
    path("organization", organization.OrganizationView.as_view()),
    path("members", organization.MembersView.as_view()),
    path("members/<slug:member_id>", organization.MemberView.as_view()),
    path("members/<slug:member_id>/limits", limits.MemberLimitsView.as_view()),
    path("limits", limits.OrganizationLimitsView.as_view()),
    path("limits/budgets", limits.BudgetsView.as_view()),
    path("limits/routes/<route_name:name>", limits.RouteLimitsView.as_view()),
    path("limits/models/<route_name:model>", limits.ModelLimitsView.as_view()),
    path("limits/nodes/<slug:node_id>", limits.NodeLimitsView.as_view()),
    path("invitations", organization.InvitationsView.as_view()),
    path("invitations/<slug:invitation_id>", organization.InvitationView.as_view()),
    path("invitations/<slug:invitation_id>/resend", organization.InvitationResendView.as_view()),
    path("schema", schema_document, name="api-schema"),
    re_path(r"", NothingHere.as_view()),
]

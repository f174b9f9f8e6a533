"""The tenancy door: the one way to rows that belong to an organisation.

`Model.objects.of(organization)` is the only query that pages, API and services use. Another organisation's
row is then simply not there, and `get_of` raises the same `DoesNotExist` as for a row that never was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import models

if TYPE_CHECKING:
    from accounts.models import Organization

M = TypeVar("M", bound=models.Model)


class TenantQuerySet(models.QuerySet[M]):
    def of(self, organization: Organization) -> Self:
        return self.filter(org=organization)

    def get_of(self, organization: Organization, **lookup: Any) -> M:
        return self.of(organization).get(**lookup)


class TenantModel(models.Model):
    """A row that belongs to exactly one organisation."""

    org = models.ForeignKey("accounts.Organization", on_delete=models.CASCADE, related_name="+")

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True

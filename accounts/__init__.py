"""Users, organisations, roles, API keys, entitlements, the audit trail and the tenancy door."""

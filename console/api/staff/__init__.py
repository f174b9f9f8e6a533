"""`/api/v1/staff/`: what the operator's people do, for their scripts; by the session of a member of staff alone.

No part of the document of the management API, which is for organisations: docs/operations.md tells of it.
"""

"""What is said over Redis about nodes, and where: names of channels, and what a message holds.

    nodes:revoked   the public id of a node that is revoked or removed: close its socket with 4403, now
    nodes:changed   the public id of a node whose settings changed: read them again and send them to it
    nodes:presence  a `nodes.fleet.Presence` as JSON: a node came, went, or is busier or less busy than before

Publishing may fail silently. Whoever must not miss a message reads the truth again at times: revocation and settings
from PostgreSQL (`nodes.admission.load_standing`), presence from the keys below `PRESENCE_PREFIX`.
"""

REVOKED = "nodes:revoked"
CHANGED = "nodes:changed"
PRESENCE = "nodes:presence"

PRESENCE_PREFIX = "nodes:presence:"
"""`nodes:presence:<node's public id>` holds the node's `Presence` as JSON, and expires with it."""

VITALS_PREFIX = "nodes:vitals:"
"""`nodes:vitals:<node's public id>` holds the last `nodes.reports.Report` with state and vitals as JSON. It may
outlive the presence by minutes, and counts for nothing without it."""

"""What the room refuses when somebody sets up a connection. `param` names the field; the sentence is for people.

InvalidRequest 400
└── InvalidField                of accounts: forms and the API show the sentence beside the field
    └── InvalidConnection       a field of a connection, key or model is wrong
        ├── AddressRefused      the URL leads where this server may not go
        └── UnknownPreset       there is no such kind of connection
"""

from __future__ import annotations

from accounts.errors import InvalidField


class InvalidConnection(InvalidField):
    """One field is wrong: `base_url`, `api_keys`, `models.2.input_price`, …"""

    CODE = "invalid_connection"

    def __init__(self, field: str, message: str) -> None:
        super().__init__({field: [message]})


class AddressRefused(InvalidConnection):
    CODE = "address_refused"


class UnknownPreset(InvalidConnection):
    CODE = "unknown_preset"

"""One fault server for the module, clean for each test."""

from collections.abc import Iterator

import pytest

from tests.fakes.upstream import KEY, FaultUpstream, Manners
from tests.fakes.wirelog import settled


@pytest.fixture(scope="module")
def server() -> Iterator[FaultUpstream]:
    with FaultUpstream(manners=Manners(delay_s=0.05, inflated_bytes=8 << 20)) as upstream:
        yield upstream


@pytest.fixture
def upstream(server: FaultUpstream) -> FaultUpstream:
    """Nothing of an earlier test left in it."""
    server.log.wait_until(settled)
    server.log.clear()
    server.rules.clear_all()
    server.keys = {KEY}
    server.models_status = 200
    return server

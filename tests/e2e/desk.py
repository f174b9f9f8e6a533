"""A machine of one's own, added by the wizard's command and the real agent, in front of a model server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.fakes.upstream import FaultUpstream
from tests.nodes_e2e.machines import Machine
from tests.stack import GatewayProcess

MODEL = "local-model"


@contextmanager
def desk(page: Page, gateway: GatewayProcess, folder: Path) -> Iterator[None]:
    """The machine "Desk" runs; the page is the wizard's, on which its steps appear."""
    page.goto("/nodes/new")
    page.get_by_role("button", name="Show the command").click()
    token = re.search("sai-node-[0-9a-f]+", page.get_by_role("tabpanel").inner_text())[0]
    with FaultUpstream(name="Local", keys=[""], models=(MODEL,)) as server:
        machine = Machine(folder / "machine", MODEL)
        about = ["--allow-http", "--no-discover", "--name", "Desk", "--server", server.base_url]
        done = machine._do(["enroll", gateway.url, *about], token)
        assert done.returncode == 0, done.stderr
        expect(page.locator("[data-rung=found][data-state=done]")).to_be_visible()
        machine.start()
        try:
            yield
        finally:
            machine.stop()

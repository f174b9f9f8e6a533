"""What the console serves to machines that become nodes."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from urllib.parse import urljoin

import pytest
from django.test import Client

from nodes import packages as packages_module
from nodes.packages import CannotBuild, fingerprint, packages
from shareai_node import __version__

FILES = "/nodes/v1/agent/"


@pytest.fixture(autouse=True)
def data_dir(settings, tmp_path_factory) -> Path:
    """One folder for all tests of this file: building takes a second."""
    folder = tmp_path_factory.getbasetemp() / "downloads"
    folder.mkdir(exist_ok=True)
    settings.DATA_DIR = folder
    settings.PUBLIC_URL = "https://ai.example.com"
    settings.ALLOWED_HOSTS = ["ai.example.com", "testserver"]
    return folder


@pytest.fixture
def new_data_dir(settings, tmp_path) -> Path:
    settings.DATA_DIR = tmp_path
    packages.cache_clear()
    yield tmp_path
    packages.cache_clear()


@pytest.fixture
def visitor() -> Client:
    return Client()


@pytest.mark.parametrize("name", ["install.sh", "install.ps1"])
def test_the_installer_names_the_console(visitor, name):
    answer = visitor.get(f"/{name}")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert "'https://ai.example.com'" in answer.content.decode()
    assert "'@@CONSOLE@@'" not in answer.content.decode()


@pytest.mark.parametrize("name", ["install.sh", "install.ps1"])
def test_it_names_what_is_configured_and_not_what_a_request_claims(visitor, name, settings):
    settings.ALLOWED_HOSTS = ["*"]
    claims = {"HTTP_HOST": "evil.example", "HTTP_X_FORWARDED_HOST": "evil.example", "HTTP_X_FORWARDED_PROTO": "http"}
    text = visitor.get(f"/{name}", **claims).content.decode()
    assert "'https://ai.example.com'" in text
    assert "evil" not in text


@pytest.mark.parametrize(
    "url",
    [
        "https://x'; rm -rf ~; '",
        "https://x$(id)",
        "https://x`id`",
        'https://x"y',
        "https://user@x",
        "ftp://x",
        "https://",
        "javascript:alert(1)",
    ],
)
def test_an_address_that_is_no_origin_reaches_no_script(visitor, settings, url):
    settings.PUBLIC_URL = url
    for path in ("/install.sh", "/install.ps1"):
        answer = visitor.get(path)
        assert answer.status_code == 503
        assert url not in answer.content.decode()


def test_only_the_origin_of_the_address_is_named(visitor, settings):
    settings.PUBLIC_URL = "HTTPS://AI.Example.com:8443/below"
    assert "CONSOLE='https://ai.example.com:8443'" in visitor.get("/install.sh").content.decode()


@pytest.mark.parametrize("name", ["install.sh", "latest.json"])
def test_no_sign_in_is_asked_and_no_cookie_set(visitor, name):
    answer = visitor.get(f"/{name}" if name == "install.sh" else FILES + name)
    assert answer.status_code == 200
    assert not answer.cookies


def test_the_list_leads_to_files_with_those_checksums(visitor):
    told = json.loads(visitor.get(FILES + "latest.json").content)
    assert told["version"] == __version__
    assert len(told["files"]) == 5
    for file in told["files"]:
        data = visitor.get(urljoin(FILES + "latest.json", file["url"])).content
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
    sums = visitor.get(FILES + "SHA256SUMS").content.decode()
    assert {file["sha256"] for file in told["files"]} == {line.split()[0] for line in sums.splitlines()}


@pytest.mark.parametrize("name", ["nothing.whl", "..%2Fbuild.py", "lock", "../../../etc/passwd", "%00"])
def test_nothing_else_is_there(visitor, name):
    assert visitor.get(FILES + name).status_code == 404


@pytest.mark.parametrize("path", ["/install.sh", FILES + "shareai-node.pyz", FILES + "latest.json"])
def test_who_has_it_gets_it_not_again(visitor, path):
    first = visitor.get(path)
    again = visitor.get(path, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert visitor.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert visitor.head(path)["ETag"] == first["ETag"]
    assert visitor.post(path).status_code == 405


def test_many_first_requests_build_once(new_data_dir, monkeypatch):
    built = []
    build = packages_module._build
    monkeypatch.setattr(packages_module, "_build", lambda folder: (built.append(folder), build(folder)))
    found = []
    threads = [threading.Thread(target=lambda: found.append(packages().version)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [__version__] * 4
    assert len(built) == 1
    assert {path.name for path in (new_data_dir / "agent").iterdir()} == {
        "lock",
        fingerprint(packages_module.agent_folder()),
    }


def test_a_new_version_takes_the_place_of_the_former(new_data_dir):
    former = new_data_dir / "agent" / "0123456789abcdef"
    former.mkdir(parents=True)
    assert packages().version == __version__
    assert not former.exists()


def test_a_failed_build_is_told_and_tried_again(new_data_dir, visitor, caplog, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(packages_module.sys, "executable", "/bin/false")
        answer = visitor.get(FILES + "latest.json")
    assert answer.status_code == 503
    assert "The agent is not offered" in caplog.text
    assert visitor.get(FILES + "latest.json").status_code == 200


def test_a_folder_that_cannot_be_written_is_told(settings, tmp_path, visitor):
    (tmp_path / "agent").write_text("in the way")
    settings.DATA_DIR = tmp_path
    packages.cache_clear()
    with pytest.raises(CannotBuild):
        packages()
    assert visitor.get(FILES + "latest.json").status_code == 503
    packages.cache_clear()


def test_the_fingerprint_follows_contents_and_names(tmp_path):
    (tmp_path / "a.py").write_text("one")
    first = fingerprint(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.py").write_text("x")
    assert fingerprint(tmp_path) == first
    (tmp_path / "a.py").write_text("two")
    second = fingerprint(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({first, second, fingerprint(tmp_path)}) == 3

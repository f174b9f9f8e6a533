"""The Debian package: an `ar` archive of two tarballs (deb(5)), made without Debian's tools.

It brings the pure dependencies along in a folder of its own and takes cryptography from Debian, so that installing it
asks no other package source. It puts no unit in place: `shareai-node service install` does, for whom it is called.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from building.project import Project
from building.tree import EXECUTABLE, Entry, Tree, folders_of

HOME = "usr/lib/shareai-node"
SCRIPTS = Path(__file__).with_name("debian")
OLDEST_PYTHON = "3.11"


def deb_name(project: Project) -> str:
    return f"{project.name}_{project.version}_all.deb"


def make_deb(project: Project, package: Tree, libraries: Tree, license_text: bytes) -> bytes:
    files = {f"{HOME}/{name}": entry for name, entry in sorted({**package, **libraries}.items())}
    files[f"{HOME}/__main__.py"] = Entry((SCRIPTS / "__main__.py").read_bytes())
    files["usr/bin/shareai-node"] = Entry((SCRIPTS / "shareai-node").read_bytes(), EXECUTABLE)
    files[f"usr/share/doc/{project.name}/copyright"] = Entry(_copyright(project, license_text))
    control = {"control": Entry(_control(project, files)), "md5sums": Entry(_sums(files))}
    control |= {name: Entry((SCRIPTS / name).read_bytes(), EXECUTABLE) for name in ("prerm", "postrm")}
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": _tarball(control),
        "data.tar.gz": _tarball(files),
    }
    return b"!<arch>\n" + b"".join(_member(name, data) for name, data in members.items())


def _control(project: Project, files: Tree) -> bytes:
    kibibytes = sum(-(-len(entry.data) // 1024) for entry in files.values())
    lines = [
        f"Package: {project.name}",
        f"Version: {project.version}",
        "Architecture: all",
        "Maintainer: ShareAI <no-reply@localhost>",
        f"Installed-Size: {kibibytes}",
        f"Depends: python3 (>= {OLDEST_PYTHON}), python3-cryptography",
        "Recommends: python3-psutil",
        "Section: net",
        "Priority: optional",
        f"Description: {project.summary}",
        " It connects this machine to a ShareAI console by one outbound WebSocket; no port is opened.",
        "",
    ]
    return "\n".join(lines).encode()


def _copyright(project: Project, license_text: bytes) -> bytes:
    head = f"{project.name} is licensed under {project.license}.\n"
    rest = f"What it brings along is licensed as the *.dist-info folders in /{HOME} say.\n\n"
    return head.encode() + rest.encode() + license_text


def _sums(files: Tree) -> bytes:
    """For debsums(1), which finds files that changed by accident; nobody relies on MD5 for more."""
    lines = [
        f"{hashlib.md5(entry.data, usedforsecurity=False).hexdigest()}  {name}\n" for name, entry in files.items()
    ]
    return "".join(lines).encode()


def _tarball(files: Mapping[str, Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for folder in ["", *folders_of(files)]:
            archive.addfile(_tarinfo(f"./{folder}", EXECUTABLE, tarfile.DIRTYPE))
        for name, entry in files.items():
            info = _tarinfo(f"./{name}", entry.mode, tarfile.REGTYPE)
            info.size = len(entry.data)
            archive.addfile(info, io.BytesIO(entry.data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _tarinfo(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.uname, info.gname = mode, kind, "root", "root"
    return info


def _member(name: str, data: bytes) -> bytes:
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
    return head + data + b"\n" * (len(data) % 2)

"""The start of the zipapp. It holds everything but cryptography, which is compiled for each system.

Where the interpreter has cryptography (Ubuntu and Debian: python3-cryptography), the agent starts at once. Elsewhere
it is installed once, checked against the hashes that came along, into an environment beside the user's other data.

Written so that a Python too old for the agent can still read it (3.6 does) and say so.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

OLDEST = (3, 11)
LOCK = "requirements-fetched.txt"
STARTED = "SHAREAI_NODE_ENVIRONMENT"


def main():
    if sys.version_info < OLDEST:
        sys.exit(f"shareai-node needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {sys.version.split()[0]}.")
    if not has_cryptography():
        if os.environ.get(STARTED):
            sys.exit(f"cryptography is broken in {sys.prefix}: remove that folder and start again.")
        start_in(environment())
    from shareai_node.cli import main as agent

    sys.exit(agent())


def has_cryptography():
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        return False
    return hasattr(ed25519, "Ed25519PrivateKey")


def start_in(folder):
    """Goes on in the environment's interpreter, with the same words."""
    command = [python_of(folder), archive(), *sys.argv[1:]]
    environ = dict(os.environ, **{STARTED: "1"})
    if os.name == "nt":  # os.execve would leave the console before the work is done
        sys.exit(subprocess.call(command, env=environ))
    os.execve(command[0], command, environ)  # noqa: S606 # words of this process itself


def environment():
    """The folder of an environment with cryptography, made when it is missing."""
    lock = read(LOCK)
    kind = f"{sys.version_info[0]}.{sys.version_info[1]}-{hashlib.sha256(lock).hexdigest()[:12]}"
    folder = os.path.join(data_folder(), f"zipapp-{kind}")
    if not os.path.exists(python_of(folder)):
        sys.stderr.write(f"Installing cryptography for shareai-node into {folder}, once.\n")
        make_environment(folder, lock)
    return folder


def make_environment(folder, lock):
    """Beside its place first, so that an interrupted start leaves nothing that looks finished."""
    os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
    draft = tempfile.mkdtemp(prefix="zipapp-", dir=os.path.dirname(folder))
    try:
        wanted = os.path.join(draft, LOCK)
        with open(wanted, "wb") as file:
            file.write(lock)
        run([sys.executable, "-m", "venv", draft], "On Ubuntu and Debian: sudo apt install python3-venv")
        pip = [python_of(draft), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        run([*pip, "--no-deps", "--require-hashes", "-r", wanted], "Or: sudo apt install python3-cryptography")
        os.rename(draft, folder)
    except OSError:
        if not os.path.exists(python_of(folder)):  # else another start was first
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def run(command, advice):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        text = done.stdout.decode(errors="replace").strip()
        sys.exit(f"{text}\n{' '.join(command[:4])} failed. {advice}")


def python_of(folder):
    return os.path.join(folder, "Scripts", "python.exe") if os.name == "nt" else os.path.join(folder, "bin", "python")


def data_folder():
    """As platformdirs has it; that is inside this archive, and this is asked before anything else is loaded."""
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~\\AppData\\Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(base, "shareai-node")


def archive():
    return os.path.abspath(os.path.dirname(__file__))


def read(name):
    with zipfile.ZipFile(archive()) as zipped:
        return zipped.read(name)


if __name__ == "__main__":
    main()

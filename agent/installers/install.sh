#!/bin/sh
# Makes this machine a node of a ShareAI console: Linux with systemd, macOS.
#
#   curl -fsSL https://your-console/install.sh | sh                 asks for the token
#   SHAREAI_NODE_TOKEN=... sh install.sh                            takes it from the environment
#   sh install.sh --uninstall                                       leaves nothing
#
# Run by root it installs for the machine, by anybody else for that user. Run again, it upgrades. `--help` tells more.
# The token is never a word of a command line, where every user of the machine could read it.
set -eu
umask 022

CONSOLE='@@CONSOLE@@' # filled in by the console that serves this file
TOKEN=${SHAREAI_NODE_TOKEN:-}
unset SHAREAI_NODE_TOKEN
OLDEST_PYTHON='3.11'
UV_PYTHON='3.12'

usage() {
    cat <<END
Usage: install.sh [OPTION]...

  --console URL       the console, where this file was not fetched from it
  --token-stdin       read the enrolment token from standard input
  --token-file FILE   read it from a file
  --no-enroll         install only; enrol later with: shareai-node enroll URL
  --replace           give up a former enrolment of this machine
  --no-service        do not start the agent by itself
  --prefix FOLDER     where the program goes
  --name NAME         what the machine is called in the console
  --allow-http        accept a console without TLS, in a network that is yours alone
  --dry-run           say what would be done, and do nothing
  --uninstall         remove the service, the program, its settings, its key and its logs

Environment: SHAREAI_NODE_TOKEN, SHAREAI_PYTHON (an interpreter), HTTPS_PROXY, NO_PROXY, and pip's own (PIP_INDEX_URL).
END
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'shareai-node: %s\n' "$*" >&2
    exit 1
}

run() {
    if [ "$DRY_RUN" = yes ]; then say "would run: $*"; else "$@"; fi
}

have() { command -v "$1" >/dev/null 2>&1; }

# -- What is wanted, and where it goes ---------------------------------------------------------

read_options() {
    DRY_RUN=no UNINSTALL=no ENROLL=yes SERVICE=yes REPLACE=no ALLOW_HTTP=no TOKEN_STDIN=no
    TOKEN_FILE='' PREFIX='' NAME=''
    while [ $# -gt 0 ]; do
        case $1 in
        --console | --prefix | --name | --token-file) [ $# -ge 2 ] || fail "$1 needs a value. See --help." ;;
        esac
        case $1 in
        --console) CONSOLE=$2 && shift ;;
        --prefix) PREFIX=$2 && shift ;;
        --name) NAME=$2 && shift ;;
        --token-file) TOKEN_FILE=$2 && shift ;;
        --token-stdin) TOKEN_STDIN=yes ;;
        --no-enroll) ENROLL=no ;;
        --replace) REPLACE=yes ;;
        --no-service) SERVICE=no ;;
        --allow-http) ALLOW_HTTP=yes ;;
        --dry-run) DRY_RUN=yes ;;
        --uninstall) UNINSTALL=yes ;;
        --help | -h) usage && exit 0 ;;
        --token | --token=* | sai-node-*) fail "The token does not belong on the command line: see --help." ;;
        *) fail "$1 is not an option. See --help." ;;
        esac
        shift
    done
}

choose_places() {
    [ -n "${HOME:-}" ] || fail "HOME is not set. Set it to your folder and start again."
    SYSTEM=$(uname -s)
    case $SYSTEM in
    Linux | Darwin) ;;
    *) fail "$SYSTEM is not supported by this script. On Windows use install.ps1 of the same console." ;;
    esac
    if [ "$(id -u)" = 0 ]; then
        DEFAULT=/opt/shareai-node LINK=/usr/local/bin/shareai-node
    elif [ "$SYSTEM" = Darwin ]; then
        DEFAULT="$HOME/Library/Application Support/shareai-node" LINK=$HOME/.local/bin/shareai-node
    else
        DEFAULT=${XDG_DATA_HOME:-$HOME/.local/share}/shareai-node LINK=$HOME/.local/bin/shareai-node
    fi
    PREFIX=${PREFIX:-$DEFAULT}
    case $PREFIX in
    / | "$HOME" | "$HOME/") fail "--prefix needs a folder of its own, not $PREFIX." ;;
    /*) ;;
    *) fail "--prefix needs an absolute path, not $PREFIX." ;;
    esac
    AGENT=$PREFIX/current/bin/shareai-node
}

# Folders of the agent itself; see "Where things are" in the provider's guide.
agent_folders() {
    if [ -n "${SHAREAI_NODE_HOME:-}" ]; then say "$SHAREAI_NODE_HOME"; fi
    if [ "$(id -u)" = 0 ]; then
        if [ "$SYSTEM" = Darwin ]; then say "/Library/Application Support/shareai-node"; else say /var/lib/shareai-node; fi
    elif [ "$SYSTEM" = Darwin ]; then
        say "$HOME/Library/Application Support/shareai-node"
        say "$HOME/Library/Logs/shareai-node"
        say "$HOME/Library/Caches/shareai-node"
    else
        say "${XDG_CONFIG_HOME:-$HOME/.config}/shareai-node"
        say "${XDG_STATE_HOME:-$HOME/.local/state}/shareai-node"
        say "${XDG_CACHE_HOME:-$HOME/.cache}/shareai-node"
        say "${XDG_DATA_HOME:-$HOME/.local/share}/shareai-node"
    fi
}

# Folders above that may not be there yet; uninstalling removes those that installing made, when they are empty again.
shared_folders() {
    config=${XDG_CONFIG_HOME:-$HOME/.config}
    printf '%s\n' "$HOME/.local" "$HOME/.local/bin" "${XDG_DATA_HOME:-$HOME/.local/share}" \
        "${XDG_STATE_HOME:-$HOME/.local/state}" "${XDG_CACHE_HOME:-$HOME/.cache}" "$config" "$config/systemd" \
        "$config/systemd/user" "$config/systemd/user/default.target.wants" "$HOME/Library/LaunchAgents"
}

check_console() {
    case $CONSOLE in
    '' | @@*) fail "Which console? Add --console https://your-console." ;;
    https://*) ;;
    http://localhost | http://localhost:* | http://127.* | 'http://[::1]'*) ;;
    http://*) [ "$ALLOW_HTTP" = yes ] ||
        fail "$CONSOLE is not encrypted. Use its https:// address, or add --allow-http in a network that is yours alone." ;;
    *) fail "$CONSOLE is not the address of a console. Write it as https://your-console." ;;
    esac
    CONSOLE=${CONSOLE%/}
    case ${CONSOLE#*://} in
    '' | *[!A-Za-z0-9.:_-]*) case ${CONSOLE#*://} in
        \[*\] | \[*\]:*) ;;
        *) fail "The console's address has more in it than a host. Write it as https://your-console." ;;
        esac ;;
    esac
}

# -- Python -----------------------------------------------------------------------------------

# Root installs for a service with a user of its own, who may not enter anybody's home.
is_suitable() {
    have "$1" && "$1" -c "import os, sys
homes = ('/root/', '/home/', '/Users/') if os.geteuid() == 0 else ()
at_home = os.path.realpath(sys.base_prefix).startswith(homes) if homes else False
sys.exit(at_home or sys.version_info < tuple(map(int, '$OLDEST_PYTHON'.split('.'))))" >/dev/null 2>&1
}

# Debian and Ubuntu leave these two to a package of their own.
makes_environments() { "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

find_python() {
    MAKER='' PYTHON=''
    for candidate in ${SHAREAI_PYTHON:+"$SHAREAI_PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python \
        /usr/bin/python3; do
        is_suitable "$candidate" || continue
        PYTHON=${PYTHON:-$candidate}
        if makes_environments "$candidate"; then
            PYTHON=$candidate MAKER=venv
            return
        fi
    done
    if have uv; then
        PYTHON=${PYTHON:-$UV_PYTHON} MAKER=uv
    elif [ -n "$PYTHON" ]; then
        version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        fail "$PYTHON lacks its module venv. On Ubuntu and Debian: sudo apt install python$version-venv. Then start again."
    elif [ "$SYSTEM" = Darwin ]; then
        fail "Python $OLDEST_PYTHON or newer is needed: brew install python, or python.org/downloads. Then start again."
    else
        fail "Python $OLDEST_PYTHON or newer is needed: install it with your system's packages (Ubuntu 22.04: sudo apt" \
            "install python3.11-venv), or install uv (docs.astral.sh/uv), which brings one. Then start again."
    fi
}

# -- Download and verify ----------------------------------------------------------------------

# curl does not read HTTP_PROXY, and wget reads lower case only: give both what either was told.
share_proxies() {
    for name in http https no all; do
        lower=${name}_proxy upper=$(printf '%s_PROXY' "$name" | tr '[:lower:]' '[:upper:]')
        eval "value=\${$lower:-\${$upper:-}}"
        # shellcheck disable=SC2154 # the line above sets it
        [ -z "$value" ] || eval "export $lower=\"\$value\" $upper=\"\$value\""
    done
}

download() {
    if have curl; then
        curl -fsS --retry 3 --connect-timeout 15 -o "$2" "$1"
    elif have wget; then
        wget -q --tries=3 --timeout=60 -O "$2" "$1"
    else
        fail "Neither curl nor wget is here. Install one of them and start again."
    fi || fail "$1 could not be fetched. Check that this machine reaches the console, and its proxy settings."
}

digest_of() {
    if have sha256sum; then
        sha256sum "$1" | cut -d ' ' -f 1
    elif have shasum; then
        shasum -a 256 "$1" | cut -d ' ' -f 1
    elif have openssl; then
        openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1
    else
        fail "Nothing here computes SHA-256 (sha256sum, shasum, openssl). Install one of them and start again."
    fi
}

fetch_verified() {
    download "$CONSOLE/nodes/v1/agent/$1" "$WORK/$1"
    expected=$(awk -v name="$1" '$2 == name { print $1 }' "$WORK/SHA256SUMS")
    [ -n "$expected" ] || fail "The console lists no checksum for $1. Tell its administrator."
    [ "$(digest_of "$WORK/$1")" = "$expected" ] ||
        fail "$1 is not what the console lists: its checksum differs. Nothing was installed. Start again, or ask why."
}

fetch_agent() {
    download "$CONSOLE/nodes/v1/agent/SHA256SUMS" "$WORK/SHA256SUMS"
    WHEEL=$(awk '$2 ~ /^shareai_node-[A-Za-z0-9.]+-py3-none-any[.]whl$/ { print $2; exit }' "$WORK/SHA256SUMS")
    [ -n "$WHEEL" ] || fail "$CONSOLE offers no agent. Is that the address of a ShareAI console?"
    fetch_verified "$WHEEL"
    fetch_verified requirements.txt
    fetch_verified requirements-sensors.txt
    VERSION=${WHEEL#shareai_node-}
    VERSION=${VERSION%-py3-none-any.whl}
    MARK="$(digest_of "$WORK/$WHEEL") $(digest_of "$WORK/requirements.txt")"
}

# -- Install ----------------------------------------------------------------------------------

is_installed() {
    [ "$(cat "$PREFIX/current/installed" 2>/dev/null)" = "$MARK" ] &&
        case "$("$AGENT" --version 2>/dev/null)" in *" $VERSION" | "$VERSION") true ;; *) false ;; esac
}

make_folders() {
    [ ! -f "$PREFIX/folders-made" ] || return 0
    missing=$(shared_folders | while IFS= read -r folder; do [ -d "$folder" ] || say "$folder"; done)
    mkdir -p "$PREFIX" || fail "$PREFIX cannot be made. Choose another place with --prefix."
    printf '%s' "${missing:+$missing
}" >"$PREFIX/folders-made"
}

# Into a folder of its own, so that what is there goes on working until the new one has been seen to work.
install_agent() {
    ENVIRONMENT=$PREFIX/env-$VERSION-$$
    say "Installing shareai-node $VERSION into $PREFIX."
    make_folders
    trap 'rm -rf "$WORK" "$ENVIRONMENT"' EXIT
    if [ "$MAKER" = uv ]; then install_with_uv; else install_with_venv; fi
    "$ENVIRONMENT/bin/shareai-node" --version >/dev/null ||
        fail "The installed agent does not start. What was there before is untouched."
    say "$MARK" >"$ENVIRONMENT/installed"
    ln -sfn "$ENVIRONMENT" "$PREFIX/current"
    trap 'rm -rf "$WORK"' EXIT
    mkdir -p "$(dirname "$LINK")"
    ln -sf "$AGENT" "$LINK"
}

install_with_venv() {
    "$PYTHON" -m venv "$ENVIRONMENT"
    set -- "$ENVIRONMENT/bin/python" -m pip --disable-pip-version-check --quiet install --no-cache-dir
    "$@" --only-binary :all: --require-hashes -r "$WORK/requirements-sensors.txt" 2>/dev/null ||
        "$@" --prefer-binary --require-hashes -r "$WORK/requirements.txt" ||
        fail "The agent's dependencies could not be installed; the reason is above. Behind a proxy, set HTTPS_PROXY."
    "$@" --no-deps --no-index "$WORK/$WHEEL"
}

install_with_uv() {
    export UV_PYTHON_INSTALL_DIR="$PREFIX/python" UV_NO_CACHE=1
    uv venv --quiet --seed --python "$PYTHON" "$ENVIRONMENT"
    set -- uv pip install --quiet --python "$ENVIRONMENT/bin/python"
    "$@" --only-binary :all: --require-hashes -r "$WORK/requirements-sensors.txt" 2>/dev/null ||
        "$@" --require-hashes -r "$WORK/requirements.txt" ||
        fail "The agent's dependencies could not be installed; the reason is above. Behind a proxy, set HTTPS_PROXY."
    "$@" --no-deps --no-index "$WORK/$WHEEL"
}

remove_former() {
    for former in "$PREFIX"/env-*; do
        [ "$former" = "$(readlink "$PREFIX/current")" ] || rm -rf "$former"
    done
}

# -- Enrol and start --------------------------------------------------------------------------

NOT_ENROLLED=3 # the agent's exit status

is_enrolled() {
    status=0
    "$AGENT" server list >/dev/null 2>&1 || status=$?
    [ "$status" != $NOT_ENROLLED ]
}

read_token() {
    if [ -n "$TOKEN_FILE" ]; then
        TOKEN=$(cat "$TOKEN_FILE") || fail "The token file cannot be read. Check its path."
    elif [ "$TOKEN_STDIN" = yes ]; then
        IFS= read -r TOKEN || [ -n "$TOKEN" ] || fail "No token came on standard input."
    elif [ -z "$TOKEN" ] && (: </dev/tty) 2>/dev/null; then
        ask_token
    fi
    [ -n "$TOKEN" ] || fail "Installed, but not enrolled: no token was given. Set SHAREAI_NODE_TOKEN, or use --token-file" \
        "or --token-stdin, and start again. A token is made in the console: Nodes, Add a machine."
}

ask_token() {
    printf 'Enrolment token (from the console: Nodes, Add a machine): ' >/dev/tty
    stty -echo </dev/tty
    IFS= read -r TOKEN </dev/tty || true
    stty echo </dev/tty
    printf '\n' >/dev/tty
}

enroll() {
    if [ "$REPLACE" = no ] && is_enrolled; then
        say "This machine is enrolled already."
        return
    fi
    read_token
    set -- "$CONSOLE"
    [ -z "$NAME" ] || set -- "$@" --name "$NAME"
    [ "$REPLACE" = no ] || set -- "$@" --replace
    [ "$ALLOW_HTTP" = no ] || set -- "$@" --allow-http
    # printf is a word of the shell, no process: the token appears in no list of processes.
    printf '%s\n' "$TOKEN" | "$AGENT" enroll "$@" || fail "Installed, but not enrolled; the reason is above."
    TOKEN=''
}

runs_services() {
    [ "$SYSTEM" = Linux ] || return 0
    if [ "$(id -u)" = 0 ]; then
        systemctl show-environment >/dev/null 2>&1
        return
    fi
    # Whoever came by `su` has a session bus and was not told where.
    runtime=/run/user/$(id -u)
    if [ -z "${XDG_RUNTIME_DIR:-}" ] && [ -d "$runtime" ]; then export XDG_RUNTIME_DIR="$runtime"; fi
    systemctl --user show-environment >/dev/null 2>&1
}

start_service() {
    if ! runs_services; then
        say "systemd does not run here for this user, so nothing starts the agent by itself: shareai-node run"
    elif [ "$ENROLL" = no ] && ! is_enrolled; then
        say "Not enrolled yet, so the service waits: shareai-node enroll $CONSOLE, then shareai-node service install"
    else
        "$AGENT" service install </dev/null || fail "Installed and enrolled, but the service did not start; the reason is above."
    fi
}

tell_next() {
    case ":$PATH:" in
    *":$(dirname "$LINK"):"*) command=shareai-node ;;
    *) command=$LINK ;;
    esac
    say ""
    say "shareai-node $VERSION is installed. What now:"
    say "  $command status      is it connected, and what does it offer?"
    say "  $command doctor      what is wrong, and what to do"
    say "  $command pause       stop taking work; resume goes on"
    say "Choose what this machine offers, and when, in the console: $CONSOLE/nodes"
}

install() {
    check_console
    share_proxies
    find_python
    if [ "$DRY_RUN" = yes ]; then
        tell_plan
        return
    fi
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
    fetch_agent
    if is_installed; then say "shareai-node $VERSION is installed already."; else install_agent; fi
    [ "$ENROLL" = no ] || enroll
    [ "$SERVICE" = no ] || start_service
    remove_former
    tell_next
}

tell_plan() {
    say "Would fetch the agent from $CONSOLE/nodes/v1/agent/ and compare its SHA-256,"
    say "install it into $PREFIX with $MAKER and $PYTHON, and link $LINK to it,"
    [ "$ENROLL" = no ] || say "enrol this machine at $CONSOLE, unless it is,"
    [ "$SERVICE" = no ] || say "install and start the service (systemd, or launchd on macOS),"
    say "and change nothing else."
}

# -- Uninstall --------------------------------------------------------------------------------

uninstall() {
    if [ -x "$AGENT" ] && { [ "$SYSTEM" != Linux ] || have systemctl; }; then
        run "$AGENT" service uninstall --purge || say "The service could not be removed; the reason is above. Going on."
    fi
    made=$(cat "$PREFIX/folders-made" 2>/dev/null || true)
    if [ "$(readlink "$LINK" 2>/dev/null)" = "$AGENT" ]; then run rm -f "$LINK"; fi
    for own in current folders-made python; do
        if [ -e "$PREFIX/$own" ] || [ -L "$PREFIX/$own" ]; then run rm -rf "$PREFIX/$own"; fi
    done
    for own in "$PREFIX"/env-*; do [ ! -d "$own" ] || run rm -rf "$own"; done
    agent_folders | while IFS= read -r folder; do
        case $folder in / | "$HOME" | "$HOME/") continue ;; esac
        [ ! -d "$folder" ] || run rm -rf "$folder"
    done
    if [ -d "$PREFIX" ]; then run rmdir "$PREFIX" || say "$PREFIX holds files that are not the agent's; it stays."; fi
    printf '%s\n' "$made" | sort -r | while IFS= read -r folder; do
        if [ -n "$folder" ] && [ -d "$folder" ]; then run rmdir "$folder" 2>/dev/null || true; fi
    done
    say "shareai-node is gone from here. Remove the machine in the console too: Nodes."
}

main() {
    read_options "$@"
    choose_places
    if [ "$UNINSTALL" = yes ]; then uninstall; else install; fi
}

# The last line starts it, so that a download that broke off does nothing.
main "$@"

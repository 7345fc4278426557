#!/bin/sh
# Makes .venv and puts the pinned packages into it. Says what it does; run again, it does nothing new.
#
#   deploy/setup.sh            the environment
#   deploy/setup.sh browser    Debian's Chromium for the one test that looks at a page, where it may be installed
#
# 1. Python 3.11 or newer, under whatever name it has (PYTHON=/path/to/python names another). Where the same version is
#    there twice, the quicker build: one without profile-guided optimisation takes half as long again.
# 2. uv where it is there, plain pip otherwise (COUNTERSIGN_INSTALLER=pip forces it).
#    Every package is checked against its hash in requirements.txt.
# 3. Where there is a C compiler, the hot modules are compiled to machine code (COUNTERSIGN_COMPILED=no: they are not).
# 4. Nothing outside this directory is changed, but by `browser`.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'set-up: %s\n' "$*" >&2; }

fail() {
    printf 'set-up failed: %s\n' "$1" >&2
    printf '  what to do: %s\n' "$2" >&2
    exit 1
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

first_python() {
    for name in ${PYTHON:-} python3.11 python3 python python3.12 python3.13 python3.14; do
        if is_new_enough "$name"; then
            echo "$name"
            return
        fi
    done
    fail "no Python 3.11 or newer was found" "install one, or name it: make PYTHON=/path/to/python3.11"
}

# What one Python needs for some plain work, in microseconds, and where it is.
time_python() {
    "$1" -c '
import sys, time

def work():
    rows = [(number & 63, "key/%d" % number, b"value") for number in range(40_000)]
    return len({key: (place, len(value)) for place, key, value in rows if key and place != 64})

def measure():
    begin = time.process_time()
    work()
    return time.process_time() - begin

print(int(1_000_000 * min(measure() for _ in range(9))), sys.executable)'
}

find_python() {
    first=$(first_python)
    best=$(time_python "$first")
    if [ -z "${PYTHON:-}" ]; then
        version=$("$first" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        IFS=:
        for directory in $PATH; do
            if is_new_enough "$directory/$version"; then
                other=$(time_python "$directory/$version")
                # Not for a little: a machine is never quite at rest.
                if [ $((${other%% *} * 14)) -lt $((${best%% *} * 13)) ]; then best=$other; fi
            fi
        done
        unset IFS
    fi
    echo "${best#* }"
}

find_uv() {
    if [ "${COUNTERSIGN_INSTALLER:-uv}" = pip ]; then return; fi
    if command -v uv 2>/dev/null; then return; fi
    if [ -x .venv/bin/uv ]; then echo .venv/bin/uv; fi
}

make_environment() {
    if [ -x .venv/bin/python ] && is_new_enough .venv/bin/python; then
        say "using the .venv that is there"
        return
    fi
    python=$(find_python)
    say "making .venv with $("$python" --version) ($python)"
    rm -rf .venv
    if [ -n "$uv" ]; then
        "$uv" venv --quiet --python "$python" .venv
    elif "$python" -c 'import ensurepip' >/dev/null 2>&1; then
        "$python" -m venv .venv
    else
        # Debian's Python comes without ensurepip: its own pip can fill an environment from outside.
        "$python" -m pip --version >/dev/null 2>&1 ||
            fail "$python has neither ensurepip nor pip" "apt-get install python3-venv, or install uv"
        "$python" -m venv --without-pip .venv
    fi
}

install_packages() {
    if [ -n "$uv" ]; then
        say "installing the packages of requirements.txt with uv"
        "$uv" pip install --quiet --python .venv/bin/python --require-hashes -r requirements.txt &&
            "$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
    else
        say "installing the packages of requirements.txt with pip (some minutes the first time)"
        if .venv/bin/python -m pip --version >/dev/null 2>&1; then
            pip=".venv/bin/python -m pip"
        else
            pip="$(find_python) -m pip --python .venv/bin/python"
        fi
        $pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt &&
            $pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    fi || fail "the packages could not be installed (the lines above say why)" \
        "see that the package index can be reached and the disk has 1.5 GB free, then run the command again"
}

install_browser() {
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null 2>&1; then
            say "the browser test uses $(command -v "$name")"
            return
        fi
    done
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "no Chromium here and no right to install one: the browser test will be skipped"
        return
    fi
    say "installing Debian's chromium for the browser test"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; } \
        >/dev/null 2>&1 || say "chromium could not be installed: the browser test will be skipped"
}

if [ "${1:-}" = browser ]; then
    install_browser
    exit 0
fi
uv=$(find_uv)
make_environment
install_packages
if [ -f deploy/compiled.py ]; then .venv/bin/python -m deploy.compiled; fi
# The stamp is newer than requirements.txt and pyproject.toml, so make knows that there is nothing to do.
touch .venv/.ready
say "ready"

# Sourced by the other scripts: `source scripts/_setup.sh; set_up runtime|dev` makes .venv from the hashed lock,
# once for each content of lock and project file. A dev environment also serves where runtime is asked for.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { printf '%s\n' "$@" >&2; exit 1; }

find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        # Run it: a name on the PATH may be a shim with nothing behind it.
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die "This needs Python 3.11 or newer; found: $(python3 --version 2>&1 || true)." \
        "Install one (Debian, Ubuntu: apt install python3 python3-venv) and run this again."
}

# What .venv has to be made of; the path counts, because an environment cannot be moved.
fingerprint() { # python lock
    "$1" -c 'import hashlib, os, sys; h = hashlib.sha256(os.getcwd().encode())
for name in sys.argv[1:]: h.update(open(name, "rb").read())
print(h.hexdigest())' "$2" pyproject.toml
}

lock_of() { if [ "$1" = dev ]; then echo requirements-dev.lock; else echo requirements.lock; fi; }

is_current() { # python profile
    [ -x .venv/bin/rollout ] && [ -f ".venv/.made-from-$2" ] &&
        [ "$(cat ".venv/.made-from-$2")" = "$(fingerprint "$1" "$(lock_of "$2")")" ]
}

install() { # python profile
    local lock started=$SECONDS
    lock=$(lock_of "$2")
    printf 'Setting up .venv from %s (about a minute, once) … ' "$lock" >&2
    rm -f .venv/.made-from-*
    if ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        "$1" -m venv --clear .venv >/dev/null 2>&1 ||
            die "" "$1 cannot make a virtual environment: its venv module or pip is missing." \
                "Install it (Debian, Ubuntu: apt install python3-venv) and run this again."
    fi
    local pip=(.venv/bin/python -m pip --disable-pip-version-check -qq install)
    if ! { "${pip[@]}" --require-hashes -r "$lock" &&
           "${pip[@]}" --no-deps --no-build-isolation -e .; } </dev/null; then
        die "" "Installing from $lock failed; pip says why above. Nothing outside of .venv was changed."
    fi
    fingerprint "$1" "$lock" >".venv/.made-from-$2"
    printf 'done in %s s.\n' "$((SECONDS - started))" >&2
}

set_up() { # runtime | dev
    local python
    python=$(find_python) || exit 1
    if is_current "$python" dev || is_current "$python" "$1"; then return; fi
    # One at a time, where the system has flock; the lock is let go before anything else starts.
    exec 9>.venv.lock
    if command -v flock >/dev/null; then flock 9; fi
    if ! is_current "$python" "$1"; then install "$python" "$1" 9>&-; fi
    exec 9>&-
}

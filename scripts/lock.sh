#!/bin/sh
# Write the locks anew: exact versions with hashes for Python 3.11 and later, without any index address.
# run.txt: what `make demo` installs.  formats.txt: the extra [formats].  dev.txt: what `make test` and
# `make check` install (run.txt and [formats] included).  Needs uv (pip install uv).
set -eu
cd "$(dirname "$0")/.."
UV=${UV:-$([ -x .venv/bin/uv ] && echo .venv/bin/uv || echo uv)}
command -v "$UV" >/dev/null 2>&1 || { echo "make lock needs uv: install it with 'pip install uv', or say UV=/path/to/uv" >&2; exit 2; }

lock() { # lock FILE UV-OPTIONS...
    file=requirements/$1
    shift
    "$UV" pip compile pyproject.toml "$@" ${UPGRADE:+--upgrade} --quiet \
        --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file "$file"
    { echo "# Written by scripts/lock.sh (make lock): do not edit."; cat "$file"; } >"$file.new"
    mv "$file.new" "$file"
    echo "wrote $file: $(grep -c '==' "$file") packages"
}

lock run.txt --group build
lock formats.txt --group build --extra formats --constraints requirements/run.txt
lock dev.txt --group build --group dev --extra formats --constraints requirements/run.txt

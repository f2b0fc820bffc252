#!/bin/sh
# A double of uv, for `uv run python FILE ...`: the machine's own Python, as without a project.
[ "$1 $2" = "run python" ] || { echo "error: this double knows 'uv run python' only" >&2; exit 2; }
shift 2
exec python3 "$@"

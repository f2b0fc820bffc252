#!/bin/sh
# One pass over the queue, as cron ran it: `ownerreportd drain`, five reports a run.
#
# --dry-run shows what would go where, and changes nothing. OWNER_REPORT_MAX_COUNT is how many, 0
# is all. OWNER_REPORT_CHANNEL and OWNER_REPORT_TARGET say where to for this run; beside a running
# daemon only with --dry-run. The exit code is that of `ownerreportd drain`.
set -eu

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  sed -n '/^# One/,/^# daemon/s/^# \{0,1\}//p' "$0"
  echo 'usage: run_owner_report_watchdog.sh [--dry-run]'
  exit 0
fi
for word in "$@"; do
  [ "$word" = --dry-run ] && continue
  echo "error: unrecognized argument: $word" >&2
  echo 'hint: run_owner_report_watchdog.sh --help' >&2
  exit 64
done
# A target alone is Discord's, as it was.
if [ -n "${OWNER_REPORT_TARGET:-}" ] && [ -z "${OWNER_REPORT_CHANNEL:-}" ]; then
  export OWNER_REPORT_CHANNEL=discord
fi
export OWNER_REPORT_MAX_COUNT="${OWNER_REPORT_MAX_COUNT:-5}"
exec python3 "$(dirname "$(readlink -f "$0")")/owner_report_watchdog.py" "$@"

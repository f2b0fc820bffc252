#!/usr/bin/env bash
set -euo pipefail
export OWNER_REPORT_CHANNEL="${OWNER_REPORT_CHANNEL:-discord}"
export OWNER_REPORT_TARGET="${OWNER_REPORT_TARGET:-channel:1480577550445969541}"
export OWNER_REPORT_MAX_COUNT="${OWNER_REPORT_MAX_COUNT:-5}"
python3 "$(dirname "$0")/owner_report_watchdog.py" "$@"

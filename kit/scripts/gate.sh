#!/usr/bin/env bash
# Judges a variant with `planner gate`. What to do comes in INPUT_ variables, so that no text becomes a command.
# Exit status: 0 passed, 3 failed, 4 inconclusive (0 with INPUT_INCONCLUSIVE=pass), else that of `planner gate`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/token.sh"

export PLANNER_SERVER="${INPUT_SERVER:-${PLANNER_SERVER:-}}"
[ -n "$PLANNER_SERVER" ] || fail "the input server is missing"
[ -n "${INPUT_VARIANT:-}" ] || fail "the input variant is missing"
[ -n "${INPUT_POLICY:-}" ] || fail "the input policy is missing"
case "${INPUT_INCONCLUSIVE:-fail}" in
fail | pass) ;;
*) fail "the input inconclusive is neither fail nor pass" ;;
esac
planner_token

arguments=(--json --policy "$INPUT_POLICY")
one() { if [ -n "$2" ]; then arguments+=("$1" "$2"); fi; }
one --against "${INPUT_AGAINST:-}"
one --junit "${INPUT_JUNIT:-}"
one --sarif "${INPUT_SARIF:-}"
one --wait-minutes "${INPUT_WAIT_MINUTES:-}"
if [ -n "${INPUT_WAIT_MINUTES:-}" ]; then arguments+=(--wait); fi
if [ "${INPUT_SEQUENTIAL:-false}" = true ]; then arguments+=(--sequential); fi
if [ "${INPUT_DRY_RUN:-false}" = true ]; then arguments+=(--dry-run); fi

report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
planner gate "${arguments[@]}" -- "$INPUT_VARIANT" >"$report" 2>"$report.err" || status=$?
python3 "$here/annotations.py" gate "$report" "$report.err" "$status"
rm -f "$report.err"
if [ "$status" = 4 ] && [ "${INPUT_INCONCLUSIVE:-fail}" = pass ]; then exit 0; fi
exit "$status"

#!/usr/bin/env bash
# Registers a build with `planner register`. What to do comes in INPUT_ variables, so that no text becomes a command.
# One value a line where there may be several. Exit status: that of `planner register`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/token.sh"

export PLANNER_SERVER="${INPUT_SERVER:-${PLANNER_SERVER:-}}"
[ -n "$PLANNER_SERVER" ] || fail "the input server is missing"
[ -n "${INPUT_PATH:-}" ] || fail "the input path is missing"
planner_token

arguments=(--json)
one() { if [ -n "$2" ]; then arguments+=("$1" "$2"); fi; }
several() {
  local line
  while IFS= read -r line; do
    if [ -n "${line//[[:space:]]/}" ]; then arguments+=("$1" "$line"); fi
  done <<<"$2"
}
one --model "${INPUT_MODEL:-}"
one --name "${INPUT_NAME:-}"
one --scheme "${INPUT_SCHEME:-}"
one --base "${INPUT_BASE:-}"
one --recipe "${INPUT_RECIPE:-}"
one --alias "${INPUT_ALIAS:-}"
one --expected "${INPUT_EXPECTED:-}"
several --eval "${INPUT_EVAL:-}"
several --baseline-eval "${INPUT_BASELINE_EVAL:-}"
one --baseline "${INPUT_BASELINE:-}"
several --bench "${INPUT_BENCH:-}"
one --device "${INPUT_DEVICE:-}"
one --engine "${INPUT_ENGINE:-}"
if [ "${INPUT_DRY_RUN:-false}" = true ]; then arguments+=(--dry-run); fi

report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
planner register "${arguments[@]}" -- "$INPUT_PATH" >"$report" 2>"$report.err" || status=$?
python3 "$here/annotations.py" register "$report" "$report.err" "$status"
rm -f "$report.err"
exit "$status"

# Sourced: sets PLANNER_TOKEN for this process and nothing after it, by exchanging the pipeline's own identity.
#
# PLANNER_TOKEN given: used as it is. On GitHub with `permissions: id-token: write`, and on GitLab with an id_token in
# PLANNER_ID_TOKEN, the identity token is exchanged at $PLANNER_SERVER/oauth/token. Otherwise no token is sent.
# PLANNER_AUDIENCE: whom the identity is meant for, the server's address unless given.
# PLANNER_RESOURCE: the repository that the token is confined to. PLANNER_SCOPE: fewer scopes than the pipeline may have.

fail() {
  if [ "${GITHUB_ACTIONS:-}" = true ]; then printf '::error title=planner::%s\n' "$1"; else printf 'error: %s\n' "$1" >&2; fi
  exit 1
}

# Reads one field of a JSON object on stdin; empty when it is not there.
json_field() {
  python3 -c 'import json, sys
document = json.load(sys.stdin)
value = document.get(sys.argv[1]) if isinstance(document, dict) else None
print(value if isinstance(value, str) else "")' "$1"
}

planner_token() {
  local identity="${PLANNER_ID_TOKEN:-}" audience="${PLANNER_AUDIENCE:-$PLANNER_SERVER}" reply
  if [ -n "${PLANNER_TOKEN:-}" ]; then return 0; fi
  if [ -z "$identity" ] && [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ]; then
    reply=$(curl --silent --show-error --fail --retry 3 --max-time 30 --get \
      --header @<(printf 'Authorization: bearer %s' "$ACTIONS_ID_TOKEN_REQUEST_TOKEN") \
      --data-urlencode "audience=$audience" "$ACTIONS_ID_TOKEN_REQUEST_URL") ||
      fail "the runner gave no identity token"
    identity=$(json_field value <<<"$reply")
    [ -n "$identity" ] || fail "the runner gave no identity token"
  fi
  [ -n "$identity" ] || return 0
  # The identity goes through a pipe: arguments can be read by every process of the machine.
  reply=$(curl --silent --show-error --retry 3 --max-time 30 \
    --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:token-exchange \
    --data-urlencode subject_token_type=urn:ietf:params:oauth:token-type:jwt \
    --data-urlencode subject_token@<(printf %s "$identity") \
    ${PLANNER_RESOURCE:+--data-urlencode "resource=$PLANNER_RESOURCE"} \
    ${PLANNER_SCOPE:+--data-urlencode "scope=$PLANNER_SCOPE"} \
    "${PLANNER_SERVER%/}/oauth/token") || fail "no token exchange at $PLANNER_SERVER"
  PLANNER_TOKEN=$(json_field access_token <<<"$reply")
  [ -n "$PLANNER_TOKEN" ] || fail "the identity was refused: $(json_field error_description <<<"$reply" | tr -d '\r\n')"
  if [ "${GITHUB_ACTIONS:-}" = true ]; then printf '::add-mask::%s\n' "$PLANNER_TOKEN"; fi
  export PLANNER_TOKEN
}

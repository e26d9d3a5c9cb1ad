#!/bin/sh
# One completion with curl, its cost from the headers, then the key's own limits.
# Needs OPENAI_BASE_URL (http://127.0.0.1:8080/v1) and OPENAI_API_KEY (sk-tr-…).
set -eu
curl -sS --fail-with-body -D /dev/stderr "$OPENAI_BASE_URL/chat/completions" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"model":"'"${MODEL:-auto}"'","messages":[{"role":"user","content":"Say hello to finance."}]}' \
  2>&1 | grep -iE '^x-tallyroute-|^\{'
curl -sS --fail-with-body "$OPENAI_BASE_URL/key" -H "Authorization: Bearer $OPENAI_API_KEY"
echo

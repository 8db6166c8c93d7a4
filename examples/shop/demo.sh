#!/usr/bin/env bash
#
# A visitor's day in the shop: posts events with curl, and prints what the receiver of the webhooks got. Starts both
# programs, stops both, and ends with an error if a change that should have come did not. Needs bash, curl and gzip.
#
#     examples/shop/demo.sh
#
# DELTAIC names the program to run; without it, that of a release build is taken, which is made where it is missing.
# SHOP_PORT and SHOP_RECEIVER_PORT are the ports to use in the place of 8080 and 9000.

set -euo pipefail

shop=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$shop/../.." && pwd)
port=${SHOP_PORT:-8080}
receiver_port=${SHOP_RECEIVER_PORT:-9000}
url=http://127.0.0.1:$port
export SHOP_WEBHOOK_URL=http://127.0.0.1:$receiver_port
export SHOP_WEBHOOK_SECRET=${SHOP_WEBHOOK_SECRET:-shop-webhook-secret}
read_token=${SHOP_READ_TOKEN:-shop-read-token}
website_key=${SHOP_WEBSITE_WRITE_KEY:-website-write-key}
app_key=${SHOP_APP_WRITE_KEY:-app-write-key}

deltaic=${DELTAIC:-${CARGO_TARGET_DIR:-$root/target}/release/deltaic}
if [[ -z ${DELTAIC:-} && ! -x $deltaic ]]; then
    echo "There is no release build yet: making one, which takes some minutes."
    (cd "$root" && cargo build --release)
fi

# Other people on each run, so that what an earlier one left behind does not matter.
run=$(date +%s)-$$
ana=user-ana-$run ana_cookie=cookie-ana-$run ana_email=ana-$run@example.org
ben=user-ben-$run ben_device=device-ben-$run ben_email=ben-$run@example.org

# ---- Helpers ---------------------------------------------------------------------------------------------------------

pipes=$(mktemp -d)
pids=()
stop() {
    trap - EXIT
    # The engine first: it delivers what is pending.
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$pipes"
}
trap stop EXIT
trap 'exit 130' INT TERM

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

say() { printf '\n=== %s\n' "$*"; }

# Posts the body on standard input to an address, with a write key; prints the answer, and keeps its token in `token`.
post() {
    local address=$1 key=$2 answer
    shift 2
    answer=$(curl --silent --show-error --user "$key:" --header 'Content-Type: application/json' \
        --data-binary @- "$@" "$url/v1/$address")
    echo "POST /v1/$address  $answer"
    token=""
    if [[ $answer =~ \"token\":([0-9]+) ]]; then token=${BASH_REMATCH[1]}; fi
}

# Prints the answer to a read that includes everything up to the last token.
get() {
    echo "GET $1"
    curl --silent --show-error --fail-with-body --header "Authorization: Bearer $read_token" \
        "$url$1?after=$token&wait_ms=5000" || fail "the read was not answered"
    echo
}

# Waits until the receiver has printed a line that matches each pattern, in any order. No change takes 10 s to arrive.
expect() {
    local line pattern rest
    while [[ $# -gt 0 ]]; do
        IFS= read -r -t 10 line <&4 || fail "the receiver did not get: $*"
        echo "receiver  $line"
        rest=()
        for pattern in "$@"; do
            # shellcheck disable=SC2053 # it is a pattern
            [[ $line == $pattern ]] || rest+=("$pattern")
        done
        set -- ${rest[@]+"${rest[@]}"}
    done
}

# The time so many minutes ago, as Segment's libraries write it.
minutes_ago() {
    local at=$(($(date +%s) - $1 * 60))
    date -u -d "@$at" +%Y-%m-%dT%H:%M:%S.000Z 2>/dev/null || date -u -r "$at" +%Y-%m-%dT%H:%M:%S.000Z
}

# ---- Start -----------------------------------------------------------------------------------------------------------

mkfifo "$pipes/receiver" "$pipes/engine"
DELTAIC_WEBHOOK_SECRET=$SHOP_WEBHOOK_SECRET "$deltaic" receive --port "$receiver_port" >"$pipes/receiver" &
pids+=($!)
exec 4<"$pipes/receiver"
IFS= read -r line <&4 || fail "the receiver did not start"
echo "$line"
"$deltaic" run "$shop" --listen "127.0.0.1:$port" >"$pipes/engine" &
pids=($! "${pids[@]}")
exec 3<"$pipes/engine"
IFS= read -r line <&3 || fail "the engine did not start"
echo "$line"

# ---- A visitor's day -------------------------------------------------------------------------------------------------

say "Somebody looks at two products. Her browser says that she agrees to advertising; nobody knows her name."
post batch "$website_key" <<JSON
{"batch": [
  {"type": "page", "name": "Home", "anonymousId": "$ana_cookie", "messageId": "$run-1", "timestamp": "$(minutes_ago 3)",
   "context": {"page": {"path": "/"}, "consent": {"categoryPreferences": {"advertising": true}}}},
  {"type": "track", "event": "Product Viewed", "anonymousId": "$ana_cookie", "messageId": "$run-2", "timestamp": "$(minutes_ago 2)",
   "properties": {"product_id": "p-17", "name": "Walking boots", "category": "shoes", "price": 189.00, "currency": "EUR"}},
  {"type": "track", "event": "Product Viewed", "anonymousId": "$ana_cookie", "messageId": "$run-3", "timestamp": "$(minutes_ago 1)",
   "properties": {"product_id": "p-42", "name": "Tent for two", "category": "camping", "price": 460.00, "currency": "EUR"}}
]}
JSON
expect "add *retarget_viewers*anonymous_id:$ana_cookie*Tent for two*"

say "She puts the tent into her cart. An open cart, but nobody to write to: no message."
post track "$website_key" <<JSON
{"type": "track", "event": "Product Added", "anonymousId": "$ana_cookie", "messageId": "$run-4",
 "properties": {"product_id": "p-42", "name": "Tent for two", "category": "camping", "price": 460.00, "quantity": 1, "cart_id": "c-1"}}
JSON
get "/v1/profiles/anonymous_id:$ana_cookie"

say "She logs in and agrees to marketing: what the cookie did is now hers, and the cart has an address."
post identify "$website_key" <<JSON
{"type": "identify", "userId": "$ana", "anonymousId": "$ana_cookie", "messageId": "$run-5",
 "traits": {"email": "Ana-$run@Example.org", "first_name": "Ana", "city": "Berlin"},
 "context": {"consent": {"categoryPreferences": {"marketing": true, "advertising": true}}}}
JSON
expect "add *open_carts*user_id:$ana*Tent for two*" "add *retarget_viewers*email:$ana_email*"

say "She buys the tent and the boots: no open cart any more, no more advertisements for them, a good customer." \
    "The order itself goes to those who pack it, with her e-mail address and what she spent so far."
post track "$website_key" <<JSON
{"type": "track", "event": "Order Completed", "userId": "$ana", "anonymousId": "$ana_cookie", "messageId": "$run-6",
 "properties": {"order_id": "o-1", "total": 649.00, "revenue": 649.00, "currency": "EUR",
  "products": [{"product_id": "p-42", "price": 460.00, "quantity": 1}, {"product_id": "p-17", "price": 189.00, "quantity": 1}]}}
JSON
expect "delete *open_carts*user_id:$ana*" "add *vips*user_id:$ana*649*" \
    "delete *retarget_viewers*$ana_email*" "add *recent_buyers*$ana_email*" \
    "event *Order Completed*email:$ana_email*\"first_name\":\"Ana\",\"lifetime_value\":649,\"orders\":1*"
get "/v1/profiles/email:$ana_email"

say "Ben's phone was offline: his events come now, in one gzip batch, with their own times. One has no identifier."
# The clock of the phone may be wrong: times count relative to `sentAt`.
gzip <<JSON | post batch "$app_key" --header 'Content-Encoding: gzip'
{"sentAt": "$(minutes_ago 0)", "batch": [
  {"type": "identify", "userId": "$ben", "messageId": "$run-7", "timestamp": "$(minutes_ago 50)",
   "traits": {"email": "$ben_email", "first_name": "Ben"},
   "context": {"device": {"id": "$ben_device"}, "consent": {"categoryPreferences": {"marketing": true}}}},
  {"type": "track", "event": "Product Added", "userId": "$ben", "messageId": "$run-8", "timestamp": "$(minutes_ago 45)",
   "properties": {"product_id": "p-5", "name": "Stove", "price": 59.00, "quantity": 2, "cart_id": "c-2"},
   "context": {"device": {"id": "$ben_device"}}},
  {"type": "track", "event": "Product Viewed", "messageId": "$run-9", "properties": {"product_id": "p-5"}}
]}
JSON
# He left the cart alone for more than half an hour.
expect "add *cart_abandoners*user_id:$ben*Stove*" "add *open_carts*user_id:$ben*Stove*"

say "An event without a name is refused, and the answer says why."
post track "$app_key" <<JSON
{"type": "track", "userId": "$ben", "messageId": "$run-10", "properties": {}}
JSON
[[ -z $token ]] || fail "an event without a name was accepted"

say "Ana takes her consent to marketing back: she is taken out where she was put in for it."
post identify "$website_key" <<JSON
{"type": "identify", "userId": "$ana", "messageId": "$run-11",
 "context": {"consent": {"categoryPreferences": {"marketing": false, "advertising": true}}}}
JSON
expect "delete *vips*user_id:$ana*"

say "The sizes of the audiences. For the shop she is a good customer all the same."
get /v1/audiences

say "How long it took from the arrival of a request until the receiver had confirmed the change:"
curl --silent "$url/metrics" | grep -E '^deltaic_latency_seconds_(bucket\{le="0.(01|05)"|count\{).*stage="acknowledged"'

say "All that should have come has come."

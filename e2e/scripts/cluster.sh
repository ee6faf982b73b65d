#!/bin/bash
# `make cluster`: the operator and the quickstart on a Kubernetes, ready to publish to and to receive from.
# `make cluster-down`: cluster.sh down.
# Without KUBECONFIG the test cluster is started on this machine (Debian 12, root). With it that cluster is used, and
# EDGE_IMAGE, OPERATOR_IMAGE and NATS_IMAGE name images that it can pull.
set -euo pipefail
METRICS=${METRICS:-1}      # metrics-server too, so that an autoscaler can be tried
. "$(dirname "$0")/env.sh"

NAMESPACE=${NAMESPACE:-quickstart}
NAME=quickstart
CLIENT_PORT=${CLIENT_PORT:-18000}            # on this machine's loopback
SERVICE_PORT=${SERVICE_PORT:-19000}
FORWARDERS=$TIDE_CACHE/forwarders        # pids, for a cluster that is not ours
READY_SECONDS=180

# Status, reason and message of the Ready condition, from one look at the object.
readiness() {
  local query='{range .status.conditions[?(@.type=="Ready")]}{.status} {.reason}: {.message}{end}'
  kubectl -n "$NAMESPACE" get rtc "$NAME" -o "jsonpath=$query" 2> /dev/null || true
}

wait_ready() {
  local end=$((SECONDS + READY_SECONDS)) seen= now
  until now=$(readiness) && [ "${now%% *}" = True ]; do
    now=${now#* }
    [ -z "$now" ] || [ "$now" = "$seen" ] || { say "not ready yet: $now"; seen=$now; }
    if [ $SECONDS -ge $end ]; then
      kubectl -n "$NAMESPACE" get rtc,pods,events
      die "$NAME is not Ready after $READY_SECONDS s"
    fi
    sleep 1
  done
  say "$NAME is Ready"
}

stop_forwarders() {
  local pid start what
  if [ "$OWN" = yes ]; then
    [ -e "$STATE/pids" ] || return 0
    while read -r pid start what; do
      [ "$what" != forward-services ] || ! alive "$pid" "$start" || kill "$pid"
    done < "$STATE/pids"
  elif [ -e "$FORWARDERS" ]; then
    while read -r pid start; do ! alive "$pid" "$start" || kill "$pid"; done < "$FORWARDERS"
    rm "$FORWARDERS"
  fi
}

service_ip() { kubectl -n "$NAMESPACE" get service "$1" -o 'jsonpath={.spec.clusterIP}'; }

# In our own cluster through kube-proxy's rules, as any client in it; elsewhere as kubectl can.
start_forwarders() {
  local pid
  if [ "$OWN" = yes ]; then
    setsid python3 "$HERE/forward.py" "$(node_pid 0)" "127.0.0.1:$CLIENT_PORT=$(service_ip $NAME):8000" \
      "127.0.0.1:$SERVICE_PORT=$(service_ip $NAME-api):9000" > "$STATE/logs/forward-services.log" 2>&1 < /dev/null &
    record $! forward-services
  else
    for pair in "$NAME $CLIENT_PORT:8000" "$NAME-api $SERVICE_PORT:9000"; do
      setsid kubectl -n "$NAMESPACE" port-forward --address=127.0.0.1 "service/${pair% *}" "${pair#* }" > /dev/null 2>&1 < /dev/null &
      pid=$!
      echo "$pid $(start_time $pid)" >> "$FORWARDERS"
    done
  fi
  wait_for 10 "clients on 127.0.0.1:$CLIENT_PORT" curl -m 1 -s -o /dev/null "http://127.0.0.1:$CLIENT_PORT/"
  wait_for 10 "API on 127.0.0.1:$SERVICE_PORT" curl -m 1 -sf -o /dev/null "http://127.0.0.1:$SERVICE_PORT/health"
}

print_commands() {
  local kubectl=kubectl node_path
  [ "$(command -v kubectl)" != "$BIN/kubectl" ] || kubectl=$BIN/kubectl
  node_path=$("$SCRIPTS/sdk.sh" js)
  cat << TEXT

The cluster is ready. Paste these lines; the first window receives what the second one publishes.

  export KUBECONFIG=$KUBECONFIG
  $kubectl -n $NAMESPACE get rtc,pods

  # receive, with the official JavaScript SDK
  TOKEN=\$($SCRIPTS/token.sh $NAMESPACE $NAME alice)
  $node_path node $REPOSITORY/e2e/sdk/js/client.cjs --url ws://127.0.0.1:$CLIENT_PORT/connection/websocket --token \$TOKEN --channel chat:lobby

  # publish
  KEY=\$($kubectl --kubeconfig=$KUBECONFIG -n $NAMESPACE get secret $NAME-api-key -o 'jsonpath={.data.key}' | base64 -d)
  curl -H "X-API-Key: \$KEY" -d '{"channel":"chat:lobby","data":{"text":"hello"}}' http://127.0.0.1:$SERVICE_PORT/api/publish

\`make cluster-down\` ends it and leaves nothing behind.
TEXT
}

up() {
  local line
  if [ "$OWN" = yes ]; then
    while read -r line; do export "${line?}"; done < <(METRICS=$METRICS "$SCRIPTS/bring-up.sh" || echo FAILED=1)
    [ -z "${FAILED:-}" ] || exit 1
  fi
  "$SCRIPTS/operator.sh"
  kubectl create namespace "$NAMESPACE" --dry-run=client -o yaml \
    | kubectl label --local -f - pod-security.kubernetes.io/enforce=restricted -o yaml | kubectl apply -f - > /dev/null
  # So that what the README says works without -n; somebody else's kubeconfig is not ours to change.
  [ "$OWN" = no ] || kubectl config set-context --current --namespace="$NAMESPACE" > /dev/null
  kubectl -n "$NAMESPACE" apply -f "$REPOSITORY/manifests/quickstart.yaml"
  wait_ready
  stop_forwarders
  start_forwarders
  print_commands
}

down() {
  stop_forwarders
  if [ "$OWN" = yes ]; then
    "$HERE/down.sh"
  else
    kubectl -n "$NAMESPACE" delete -f "$REPOSITORY/manifests/quickstart.yaml" --ignore-not-found --timeout=120s
    "$SCRIPTS/operator.sh" remove
    kubectl delete namespace "$NAMESPACE" --ignore-not-found --timeout=120s
  fi
}

OWN=no
[ -n "${KUBECONFIG:-}" ] && [ "$KUBECONFIG" != "$CLUSTER_KUBECONFIG" ] || OWN=yes
case ${1:-up} in
  up) up ;;
  down) down ;;
  *) die "no action $1" ;;
esac

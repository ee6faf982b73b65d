#!/bin/bash
# Installs the CRD and the operator of manifests/install.yaml into the cluster of KUBECONFIG, with the images
# EDGE_IMAGE, OPERATOR_IMAGE and NATS_IMAGE, and waits until the operator is available.
# operator.sh [remove]
set -euo pipefail
. "$(dirname "$0")/env.sh"

remove() {
  kubectl delete realtimeclusters.realtime.tidewire.dev --all --all-namespaces --timeout=120s 2> /dev/null || true
  kubectl delete -f "$REPOSITORY/manifests/install.yaml" --ignore-not-found --timeout=120s
}

# The published manifest is used as it is, with the images put in its place by kubectl's own kustomize.
install() {
  local folder
  folder=$(mktemp -d)
  cp "$REPOSITORY/manifests/install.yaml" "$folder/"
  cat > "$folder/kustomization.yaml" << YAML
resources: [install.yaml]
patches:
- target: {kind: Deployment, name: tidewire-operator}
  patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: tidewire-operator}
    spec:
      template:
        spec:
          containers:
          - name: operator
            image: $OPERATOR_IMAGE
            env:
            - {name: EDGE_IMAGE, value: "$EDGE_IMAGE"}
            - {name: NATS_IMAGE, value: "$NATS_IMAGE"}
YAML
  kubectl apply --server-side --force-conflicts -k "$folder" > "$folder/log" || { cat "$folder/log"; die "manifests/install.yaml"; }
  rm -rf "$folder"
  kubectl wait --for=condition=Established crd/realtimeclusters.realtime.tidewire.dev --timeout=30s > /dev/null
  kubectl -n tidewire-system rollout status deployment/tidewire-operator --timeout=90s > /dev/null \
    || { kubectl -n tidewire-system get pods,events; die "the operator does not become available"; }
  say "operator available"
}

missing=
for name in KUBECONFIG EDGE_IMAGE OPERATOR_IMAGE NATS_IMAGE; do [ -n "${!name:-}" ] || missing="$missing $name"; done
case ${1:-install} in
  install)
    [ -z "$missing" ] || die "set$missing (images that the cluster of KUBECONFIG can pull)"
    install ;;
  remove) remove ;;
  *) die "no action $1" ;;
esac

#!/bin/bash
# Makes two authorities, all certificates and the kubeconfigs in $STATE/pki. EC keys: well under a second.
set -euo pipefail
. "$(dirname "$0")/env.sh"
mkdir -p "$PKI"
cd "$PKI"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

authority() {
  key "$1"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 3650 -out "$1.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,digitalSignature
}

certificate() { # AUTHORITY NAME SUBJECT USAGE [ALTERNATIVE NAMES]
  key "$2"
  {
    echo "basicConstraints=CA:FALSE"
    echo "keyUsage=critical,digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=$4"
    [ -z "${5:-}" ] || echo "subjectAltName=$5"
  } > "$2.ext"
  openssl req -new -key "$2.key" -subj "$3" 2> /dev/null \
    | openssl x509 -req -CA "$1.crt" -CAkey "$1.key" -set_serial "0x$(openssl rand -hex 8)" -days 3650 -extfile "$2.ext" -out "$2.crt" 2> /dev/null
}

kubeconfig() { # FILE CERTIFICATE SERVER
  cat > "$1" << YAML
apiVersion: v1
kind: Config
clusters: [{name: tidewire, cluster: {server: "$3", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $2, user: {client-certificate-data: $(base64 -w0 "$2.crt"), client-key-data: $(base64 -w0 "$2.key")}}]
contexts: [{name: tidewire, context: {cluster: tidewire, user: $2}}]
current-context: tidewire
YAML
  chmod 600 "$1"
}

authority ca
authority front-proxy-ca
key sa
openssl pkey -in sa.key -pubout -out sa.pub
certificate ca apiserver /CN=kube-apiserver serverAuth \
  "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$NODE_NET.1,IP:$API_SERVICE_IP"
certificate ca apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
certificate front-proxy-ca front-proxy-client /CN=front-proxy-client clientAuth
certificate ca admin /O=system:masters/CN=admin clientAuth
certificate ca controller-manager /CN=system:kube-controller-manager clientAuth
certificate ca scheduler /CN=system:kube-scheduler clientAuth
certificate ca proxy /CN=system:kube-proxy clientAuth
for user in controller-manager scheduler proxy; do kubeconfig $user.conf $user "$API_URL"; done
kubeconfig "$CLUSTER_KUBECONFIG" admin "https://127.0.0.1:$API_PORT"
for i in $(seq 0 $((NODES - 1))); do
  certificate ca "node$i" "/O=system:nodes/CN=system:node:node$i" clientAuth
  certificate ca "kubelet$i" "/CN=node$i" serverAuth "DNS:node$i,IP:$NODE_NET.$((i + 1))"
  kubeconfig "node$i.conf" "node$i" "$API_URL"
done

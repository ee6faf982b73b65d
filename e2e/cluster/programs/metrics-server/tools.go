//go:build tools

// Package metricsserver pins the version of metrics-server, the source of CPU figures for autoscalers
// of the test cluster. It is a module of its own, since each of these programs wants other Kubernetes libraries.
package metricsserver

import _ "sigs.k8s.io/metrics-server/cmd/metrics-server"

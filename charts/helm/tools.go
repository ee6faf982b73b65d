//go:build tools

// Package helm pins the helm that renders and lints the chart.
package helm

import _ "helm.sh/helm/v3/cmd/helm"

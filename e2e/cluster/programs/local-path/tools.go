//go:build tools

// Package localpath pins the version of local-path-provisioner, the volume provisioner
// of the test cluster. It is a module of its own, since each of these programs wants other Kubernetes libraries.
package localpath

import _ "github.com/rancher/local-path-provisioner"

//go:build tools

// Package nats pins the version of nats-server, the broker
// of the test cluster. It is a module of its own, since each of these programs wants other Kubernetes libraries.
package nats

import _ "github.com/nats-io/nats-server/v2"

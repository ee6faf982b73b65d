//! Services: clients and API apart, so that the one can be exposed without the other.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::names::{
    CLIENT_PORT, Component, INTERNAL_PORT, Identity, NATS_CLIENT_PORT, NATS_CLUSTER_PORT,
    NATS_MONITOR_PORT,
};

/// Where clients connect.
pub(super) fn clients(identity: &Identity) -> Service {
    Service {
        metadata: identity.owned(identity.edge(), Component::Edge),
        spec: Some(ServiceSpec {
            selector: Some(identity.selector(Component::Edge)),
            ports: Some(vec![port("client", CLIENT_PORT, Some("http"))]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Where backends publish.
pub(super) fn api(identity: &Identity) -> Service {
    Service {
        metadata: identity.owned(identity.api(), Component::Edge),
        spec: Some(ServiceSpec {
            selector: Some(identity.selector(Component::Edge)),
            ports: Some(vec![port("internal", INTERNAL_PORT, Some("http"))]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Names of the NATS servers; they find each other before they are ready.
pub(super) fn nats(identity: &Identity) -> Service {
    Service {
        metadata: identity.owned(identity.nats(), Component::Nats),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(identity.selector(Component::Nats)),
            ports: Some(vec![
                port("client", NATS_CLIENT_PORT, None),
                port("cluster", NATS_CLUSTER_PORT, None),
                port("monitor", NATS_MONITOR_PORT, Some("http")),
            ]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn port(name: &str, number: u16, protocol: Option<&str>) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::String(name.to_owned())),
        app_protocol: Some(protocol.unwrap_or("tcp").to_owned()),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}

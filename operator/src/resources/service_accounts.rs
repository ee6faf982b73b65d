//! One ServiceAccount per component, without rights and without a mounted token.

use k8s_openapi::{api::core::v1::ServiceAccount, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::names::{Component, Identity};

/// Identity of the edge pods.
pub(super) fn edge(identity: &Identity) -> ServiceAccount {
    without_token(identity.owned(identity.edge(), Component::Edge))
}

/// Identity of the NATS pods.
pub(super) fn nats(identity: &Identity) -> ServiceAccount {
    without_token(identity.owned(identity.nats(), Component::Nats))
}

fn without_token(metadata: ObjectMeta) -> ServiceAccount {
    ServiceAccount {
        metadata,
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

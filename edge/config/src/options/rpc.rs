//! Remote procedure calls of clients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Remote procedure calls of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Rpc {
    /// Namespaces of methods: the part of a method's name before the boundary.
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"]
    ))]
    pub namespaces: Vec<RpcNamespace>,
    /// The method that answers at once, to measure round trips.
    pub ping: RpcPing,
    /// What separates the namespace from the rest of a method's name; its first occurrence counts.
    pub namespace_boundary: String,
}

impl Default for Rpc {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            ping: RpcPing::default(),
            namespace_boundary: ":".to_owned(),
        }
    }
}

impl Rpc {
    /// Name of the namespace that a method asks for, or `None` when it has none.
    pub fn namespace_name<'a>(&self, method: &'a str) -> Option<&'a str> {
        if self.namespace_boundary.is_empty() {
            return None;
        }
        let (namespace, _) = method.split_once(&self.namespace_boundary)?;
        Some(namespace)
    }

    /// Whether a method has no namespace, or one that the configuration lists.
    pub fn knows_namespace_of(&self, method: &str) -> bool {
        self.namespace_name(method)
            .is_none_or(|name| self.namespaces.iter().any(|item| item.name == name))
    }
}

/// A namespace of methods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RpcNamespace {
    /// Name of the namespace, at least two letters, digits, dots, hyphens or underscores.
    #[schemars(regex(pattern = r"^[-a-zA-Z0-9_.]{2,}$"))]
    pub name: String,
}

/// The method that answers at once, to measure round trips.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RpcPing {
    /// Answer the method with empty data.
    pub enabled: bool,
    /// Name of the method.
    pub method: String,
}

impl Default for RpcPing {
    fn default() -> Self {
        Self {
            enabled: false,
            method: "ping".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Rpc, RpcNamespace};

    #[test]
    fn the_first_boundary_ends_the_namespace_of_a_method() {
        let mut rpc = Rpc {
            namespaces: vec![RpcNamespace {
                name: "chat".to_owned(),
            }],
            ..Rpc::default()
        };
        assert_eq!(rpc.namespace_name("chat:room:open"), Some("chat"));
        assert_eq!(rpc.namespace_name("open"), None);
        assert!(rpc.knows_namespace_of("chat:open"));
        assert!(rpc.knows_namespace_of("open"));
        assert!(!rpc.knows_namespace_of("news:open"));
        assert!(!rpc.knows_namespace_of(":open"));
        rpc.namespace_boundary = String::new();
        assert!(rpc.knows_namespace_of("news:open"));
    }
}

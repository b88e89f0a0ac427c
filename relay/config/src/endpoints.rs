//! A relay as the policy sees it: what listens, what calls, and which calls go where.

use relay_core::{Encoding, Protocol};
use relay_policy::{Endpoint, RouteUse, Style};

use crate::model::RelayConfig;

/// The name of the endpoint that takes calls in.
pub const DATA: &str = "data:http";
/// The name of the endpoint that diagnostics are read at.
pub const DIAGNOSTICS: &str = "diagnostics:http";
/// The name of the endpoint that the control plane is called from.
pub const CONTROL_PLANE: &str = "control-plane:grpc";

/// The name of the endpoint that an outbound's calls go out from.
#[must_use]
pub fn outbound_endpoint(outbound: &str) -> String {
    format!("outbound:{outbound}")
}

impl RelayConfig {
    /// What listens and calls, under names that stay the same.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let data_plane = |name: String, key: String, transports: &[Protocol]| Endpoint {
            name,
            key,
            category: "data-plane".to_owned(),
            transports: transports.to_vec(),
            styles: Style::ALL.to_vec(),
            encodings: None,
        };
        let mut endpoints = vec![
            data_plane(DATA.to_owned(), "data.protocols".to_owned(), &self.data.protocols),
            Endpoint {
                name: DIAGNOSTICS.to_owned(),
                key: "admin.protocols".to_owned(),
                category: "diagnostics".to_owned(),
                transports: self.admin.protocols.clone(),
                styles: vec![Style::Http],
                encodings: Some(vec![Encoding::Json]),
            },
        ];
        if let Some(mesh) = &self.mesh {
            endpoints.push(Endpoint {
                name: CONTROL_PLANE.to_owned(),
                key: "mesh.protocols".to_owned(),
                category: "control-plane".to_owned(),
                transports: mesh.protocols.clone(),
                styles: vec![Style::Grpc],
                encodings: Some(vec![Encoding::Protobuf]),
            });
        }
        endpoints.extend(self.outbounds.iter().enumerate().map(|(index, outbound)| {
            let key = format!("outbounds.{index}.protocols");
            data_plane(outbound_endpoint(&outbound.name), key, &outbound.protocols)
        }));
        endpoints
    }

    /// Which calls go out from which endpoint.
    #[must_use]
    pub fn route_uses(&self) -> Vec<RouteUse> {
        let uses = self.routes.iter().enumerate().flat_map(|(index, route)| {
            // Routes of gRPC services are for all of their methods.
            let grpc = route.grpc_services.iter().map(|service| format!("{service}/*"));
            let procedures: Vec<String> = match route.procedures.as_slice() {
                [] => Vec::new(),
                named => named.iter().cloned().chain(grpc).collect(),
            };
            route.outbounds().enumerate().map(move |(at, outbound)| RouteUse {
                service: route.service.clone(),
                procedures: procedures.clone(),
                endpoint: outbound_endpoint(outbound),
                key: match route.split.is_empty() {
                    true => format!("routes.{index}.outbound"),
                    false => format!("routes.{index}.split.{at}.outbound"),
                },
            })
        });
        uses.collect()
    }
}

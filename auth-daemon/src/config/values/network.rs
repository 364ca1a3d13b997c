//! Listen addresses and networks.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::config::finding::{KeyPath, Problems};

impl Problems {
    /// Reads `address:port`.
    pub(in crate::config) fn listen_address(
        &mut self,
        at: &KeyPath,
        text: &str,
    ) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.error(
                at,
                "is no listen address",
                "write IP:PORT, e.g. \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \"[::]:8080\"",
            );
        }
        address
    }

    /// Reads a network such as `10.0.0.0/8`; a single address is a network of one.
    pub(in crate::config) fn network(&mut self, at: &KeyPath, text: &str) -> Option<IpNet> {
        let network = match text.parse::<IpNet>() {
            Ok(network) => network,
            Err(_) => match text.parse::<IpAddr>() {
                Ok(address) => IpNet::from(address),
                Err(_) => {
                    self.error(at, "is no network", "write it as \"10.0.0.0/8\" or \"fd00::/8\"");
                    return None;
                }
            },
        };
        if network.trunc() != network {
            self.error(
                at,
                format!("{network} has bits behind its prefix"),
                format!("write \"{}\", or the one address without a prefix", network.trunc()),
            );
            return None;
        }
        Some(network)
    }
}

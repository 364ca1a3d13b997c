//! Names, resolved to addresses that may be connected to and to no others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Reach, is_local_name};

/// A resolver of an HTTP client: what was judged is what is connected to.
#[derive(Clone, Copy, Debug)]
pub struct JudgingResolver(pub Reach);

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            if is_local_name(&host) {
                // Never asked of a name server, which could answer something else.
                let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                reach.check_address(IpAddr::V4(Ipv4Addr::LOCALHOST))?;
                let addresses = local.map(|address| SocketAddr::new(address, 0));
                return Ok(Box::new(addresses.into_iter()) as Addrs);
            }
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            // One bad address among good ones is a bad name, not a choice.
            for address in &found {
                reach.check_address(address.ip())?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(name: &str, reach: Reach) -> Result<Vec<SocketAddr>, String> {
        let found = JudgingResolver(reach).resolve(name.parse().unwrap()).await;
        found.map(Iterator::collect).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn names_of_this_machine_never_leave_it() {
        for name in ["localhost", "LOCALHOST.", "any.localhost"] {
            let found = resolve(name, Reach::Local).await.unwrap();
            assert!(found.len() == 2 && found.iter().all(|it| it.ip().is_loopback()), "{found:?}");
            for reach in [Reach::Private, Reach::Public] {
                let refused = resolve(name, reach).await.unwrap_err();
                assert!(refused.contains("do not go to 127.0.0.1"), "{refused}");
            }
        }
    }
}

//! Where a request comes from: the other end of its connection, or whom a proxy there speaks for.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName};

use crate::project::Network;

/// Who says for whom a proxy speaks. Each proxy adds who is connected to it, at the end.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Proxies between the sender and here that are looked at. Two or three are usual; who has more than that wants to be found.
const PROXIES_MAX: usize = 16;

/// The other end of a connection: an extension of each request that comes in on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Those in these networks.
    pub fn new(networks: &[Network]) -> Self {
        TrustedProxies(networks.to_vec())
    }

    /// Whose request it is: the last address that no proxy has which is believed. Nothing where one that is believed does not say.
    pub fn sender(&self, Peer(peer): Peer, headers: &HeaderMap) -> Option<IpAddr> {
        let mut sender = peer.to_canonical();
        if !self.believes(sender) {
            return Some(sender);
        }
        // What is said last counts: a sender may write what he likes before it.
        let values = headers.get_all(FORWARDED_FOR).iter().rev();
        let said = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for (proxies, said) in said.enumerate() {
            if proxies == PROXIES_MAX {
                return None;
            }
            sender = address(said)?;
            if !self.believes(sender) {
                break;
            }
        }
        Some(sender)
    }

    fn believes(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// The address that a proxy says, perhaps with a port: `203.0.113.9`, `203.0.113.9:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(said: &[u8]) -> Option<IpAddr> {
    let said = std::str::from_utf8(said).ok()?.trim();
    let in_brackets = said.strip_prefix('[').and_then(|rest| Some(rest.split_once(']')?.0));
    let before_port = || said.split_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let bare = in_brackets.or_else(|| Some(before_port()?.0)).unwrap_or(said);
    Some(bare.parse::<IpAddr>().ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, said: &[&str], expected: &str) {
        let networks = ["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        said.iter().for_each(|value| _ = headers.append(FORWARDED_FOR, value.parse().unwrap()));
        let sender = TrustedProxies::new(&networks).sender(Peer(peer.parse().unwrap()), &headers);
        assert_eq!(sender.map_or("-".to_owned(), |sender| sender.to_string()), expected, "{peer} {said:?}");
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy() {
        check("203.0.113.9", &[], "203.0.113.9");
        check("203.0.113.9", &["1.2.3.4"], "203.0.113.9");
        check("10.1.2.3", &[], "10.1.2.3");
        check("10.1.2.3", &["203.0.113.9"], "203.0.113.9");
        check("::ffff:10.1.2.3", &["::ffff:203.0.113.9"], "203.0.113.9");
        check("127.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.7"], "203.0.113.9");
        check("127.0.0.1", &["6.6.6.6", "203.0.113.9,10.0.0.7", "10.0.0.8"], "203.0.113.9");
        check("10.1.2.3", &["10.0.0.1, 10.0.0.2"], "10.0.0.1");
        check("2001:db8:1::1", &["[2001:db8:2::5]:443"], "2001:db8:2::5");
        check("10.1.2.3", &["2001:db8:2::5"], "2001:db8:2::5");
        check("10.1.2.3", &["203.0.113.9:5123"], "203.0.113.9");
    }

    #[test]
    fn what_is_no_address_hides_what_is_before_it() {
        let many = ["203.0.113.9"].into_iter().chain(["10.0.0.1"; 40]).collect::<Vec<_>>().join(",");
        let wrong = [
            "unknown",
            "",
            "1.2.3.4, ",
            "1.2.3.4, x",
            "1.2.3.4, 300.1.1.1",
            "[::1",
            "1.2.3.4:x",
            "fe80::1%eth0",
            "1.2.3.4;",
            "\"1.2.3.4\"",
            &many,
        ];
        wrong.into_iter().for_each(|said| check("10.1.2.3", &[said], "-"));
        // Beyond the first one that is not believed nobody looks.
        check("10.1.2.3", &["unknown, 203.0.113.9"], "203.0.113.9");
    }
}

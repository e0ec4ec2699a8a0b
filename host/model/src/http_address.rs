//! Addresses that are nobody's business: those of this machine, of its network, and of what runs the network.
//!
//! A guest reaches them only where a grant names them. IPv6 has several ways to write an IPv4 address; all of them are
//! closed, so that there is no need to know which of them the machine's network would follow, and so is all of IPv6 that
//! was never given out.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What is forbidden, each with what it is. The first that matches is named.
const FORBIDDEN: [(&str, &str); 35] = [
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "a carrier's own"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.169.254/32", "cloud metadata"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "of protocols"),
    ("192.0.2.0/24", "for documentation"),
    ("192.88.99.0/24", "a relay from IPv6"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "for measurements"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("168.63.129.16/32", "cloud metadata"),
    ("::1/128", "loopback"),
    ("::/96", "unspecified"),
    ("::ffff:0:0:0/96", "translated IPv4"),
    ("64:ff9b::/96", "translated IPv4"),
    ("64:ff9b:1::/48", "translated IPv4"),
    ("100::/64", "discarded"),
    ("2001::/32", "tunnelled IPv4"),
    ("2001::/23", "of protocols"),
    ("2001:db8::/32", "for documentation"),
    ("2002::/16", "tunnelled IPv4"),
    ("3fff::/20", "for documentation"),
    ("5f00::/16", "of routers"),
    ("fd00:ec2::254/128", "cloud metadata"),
    ("fd20:ce::254/128", "cloud metadata"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("ff00::/8", "multicast"),
];

/// What a forbidden address is, for example `loopback`; nothing for one that anybody may connect to.
#[must_use]
pub fn forbidden_address(address: IpAddr) -> Option<&'static str> {
    let address = plain(address);
    let nets =
        FORBIDDEN.iter().map(|(net, what)| (net.parse::<IpNet>().expect("the table is well-formed"), *what));
    let named = nets.into_iter().find(|(net, _)| net.contains(&address)).map(|(_, what)| what);
    named.or_else(|| (!was_given_out(address)).then_some("not in use"))
}

/// Whether an address is of a part that is in use for the internet: of IPv6 an eighth is, `2000::/3`.
fn was_given_out(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => address.segments()[0] & 0xe000 == 0x2000,
    }
}

/// The address that packets go to: a mapped IPv4 address is that IPv4 address.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Addresses that a grant names: one, `10.1.2.3`, or a range, `10.1.2.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&plain(address))
    }

    /// Whether these are all addresses there are.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.prefix_len() == 0
    }
}

/// A text that is neither an address nor a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is neither an address such as `10.1.2.3` nor a range such as `10.1.2.0/24`")]
pub struct NoAddressRange;

impl FromStr for AddressRange {
    type Err = NoAddressRange;

    fn from_str(text: &str) -> Result<Self, NoAddressRange> {
        let single = || text.parse::<IpAddr>().map(|address| plain(address).into());
        let range = text.parse::<IpNet>().or_else(|_| single()).map_err(|_| NoAddressRange)?;
        // A range of mapped addresses would never match: those are looked at as IPv4.
        let mapped = |v6: Ipv6Addr| v6.to_ipv4_mapped().is_some();
        match range {
            IpNet::V6(v6) if mapped(v6.addr()) => Err(NoAddressRange),
            range => Ok(Self(range.trunc())),
        }
    }
}

impl TryFrom<String> for AddressRange {
    type Error = NoAddressRange;

    fn try_from(text: String) -> Result<Self, NoAddressRange> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> String {
        range.to_string()
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            write!(f, "{}", self.0.addr())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(address: &str) -> Option<&'static str> {
        forbidden_address(address.parse().unwrap())
    }

    #[test]
    fn the_first_and_the_last_address_of_every_range_are_forbidden() {
        for (range, _) in FORBIDDEN {
            let net: IpNet = range.parse().unwrap();
            assert!(forbidden_address(net.network()).is_some(), "{}", net.network());
            assert!(forbidden_address(net.broadcast()).is_some(), "{}", net.broadcast());
        }
    }

    #[test]
    fn the_neighbours_of_the_ranges_are_not() {
        for public in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "8.8.8.8",
            "2001:200::",
            "2001:4860:4860::8888",
            "2003::",
            "2600::1",
            "2a00:1450::1",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "3ffe::",
        ] {
            assert_eq!(what(public), None, "{public}");
        }
    }

    #[test]
    fn each_range_is_called_what_it_is() {
        for (address, is) in [
            ("0.0.0.0", "this host"),
            ("10.255.0.1", "private"),
            ("100.100.100.200", "a carrier's own"),
            ("127.0.0.53", "loopback"),
            ("169.254.169.254", "cloud metadata"),
            ("169.254.170.2", "link-local"),
            ("172.31.255.255", "private"),
            ("192.0.0.192", "of protocols"),
            ("192.0.2.1", "for documentation"),
            ("203.0.113.255", "for documentation"),
            ("192.168.1.1", "private"),
            ("198.19.255.255", "for measurements"),
            ("239.1.1.1", "multicast"),
            ("255.255.255.255", "reserved"),
            ("168.63.129.16", "cloud metadata"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::127.0.0.1", "unspecified"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:a9fe:a9fe", "cloud metadata"),
            ("::ffff:0:127.0.0.1", "translated IPv4"),
            ("64:ff9b::7f00:1", "translated IPv4"),
            ("64:ff9b:1:2::1", "translated IPv4"),
            ("2001:0:4136:e378::1", "tunnelled IPv4"),
            ("2002:7f00:1::", "tunnelled IPv4"),
            ("2001:db8::1", "for documentation"),
            ("64:ff9b:2::", "not in use"),
            ("4000::", "not in use"),
            ("fbff::1", "not in use"),
            ("fd00:ec2::254", "cloud metadata"),
            ("fd12:3456::1", "private"),
            ("fe80::1", "link-local"),
            ("fec0::1", "private"),
            ("ff02::1", "multicast"),
        ] {
            assert_eq!(what(address), Some(is), "{address}");
        }
    }

    #[test]
    fn a_mapped_public_address_is_as_public_as_itself() {
        assert_eq!(what("::ffff:8.8.8.8"), None);
    }

    #[test]
    fn a_range_is_an_address_or_a_net() {
        let range = |text: &str| text.parse::<AddressRange>();
        assert!(range("10.1.2.0/24").unwrap().contains([10, 1, 2, 255].into()));
        assert!(!range("10.1.2.0/24").unwrap().contains([10, 1, 3, 0].into()));
        assert!(range("127.0.0.1").unwrap().contains("::ffff:127.0.0.1".parse().unwrap()));
        assert!(range("fd00::/8").unwrap().contains("fd12::1".parse().unwrap()));
        assert_eq!(range("10.1.2.3/24").unwrap().to_string(), "10.1.2.0/24");
        assert_eq!(range("::ffff:10.1.2.3").unwrap().to_string(), "10.1.2.3");
        assert!(range("0.0.0.0/0").unwrap().is_everything());
        for bad in ["", "localhost", "10.1.2", "10.1.2.3/33", "::ffff:10.0.0.0/104"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}

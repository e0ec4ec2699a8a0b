//! Who may be spoken to, and how: the registry that was named, wherever it is; anybody else only over TLS and only at a
//! public address.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use saggar_model::forbidden_address;
use url::{Host, Position, Url};

use crate::error::Astray;

/// The registry that a reference names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home(Url);

/// Where a request may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Wherever the name leads: somebody named it.
    Anywhere,
    /// This machine only: it is spoken to without TLS.
    ThisMachine,
    /// Public addresses only: the registry named it.
    Public,
}

impl Home {
    /// The registry on a host, with a port perhaps. One on this machine is spoken to without TLS, any other with it.
    pub(crate) fn of(host: &str) -> Option<Self> {
        let url = Url::parse(&format!("https://{host}/")).ok()?;
        let bare =
            url.username().is_empty() && url.password().is_none() && &url[Position::BeforePath..] == "/";
        if !bare || url.host().is_none() {
            return None;
        }
        // Not made from the first one: a port that is the default of one scheme would be lost.
        if is_this_machine(&url) {
            Url::parse(&format!("http://{host}/")).ok().map(Self)
        } else {
            Some(Self(url))
        }
    }

    /// The URL of a path of the registry.
    pub(crate) fn at(&self, path: &str) -> Option<Url> {
        self.0.join(path).ok().filter(|url| self.is(url))
    }

    /// Whether a URL is the registry's own.
    pub(crate) fn is(&self, url: &Url) -> bool {
        self.0.origin() == url.origin()
    }

    /// How a URL may be reached that the registry named, or we did.
    ///
    /// # Errors
    /// It may not be reached at all.
    pub(crate) fn reach(&self, url: &Url) -> Result<Reach, Astray> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Astray::Credentials);
        }
        match (self.is(url), url.scheme()) {
            (true, "https") => Ok(Reach::Anywhere),
            (true, _) => Ok(Reach::ThisMachine),
            (false, "https") => Ok(Reach::Public),
            (false, _) => Err(Astray::Plain),
        }
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.authority())
    }
}

impl Reach {
    /// Those of a host's addresses that may be connected to.
    ///
    /// # Errors
    /// One of them may not, so that the name does not lead where it should.
    pub(crate) fn check(self, addresses: &[SocketAddr]) -> Result<(), Astray> {
        let fits = |address: IpAddr| match self {
            Self::Anywhere => true,
            Self::ThisMachine => address.is_loopback(),
            Self::Public => forbidden_address(address).is_none(),
        };
        match addresses.iter().find(|address| !fits(address.ip())) {
            Some(address) => Err(Astray::Inside(address.ip())),
            None => Ok(()),
        }
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(home: &str, url: &str) -> Result<Reach, Astray> {
        Home::of(home).unwrap().reach(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_registry_on_this_machine_needs_no_tls_and_any_other_does() {
        for (host, url) in [
            ("localhost:5000", "http://localhost:5000/"),
            ("localhost:80", "http://localhost/"),
            ("localhost:443", "http://localhost:443/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/"),
            ("[::1]:5000", "http://[::1]:5000/"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000/"),
            ("localhost.example.com", "https://localhost.example.com/"),
        ] {
            assert_eq!(Home::of(host), Some(Home(Url::parse(url).unwrap())), "{host}");
        }
        for none in ["a b", "a@b", "a/b", "a?b", "", ":5000", "[::1", "a:99999"] {
            assert_eq!(Home::of(none), None, "{none}");
        }
    }

    #[test]
    fn attack_51_what_the_registry_leads_to_is_reached_over_tls_and_in_public_only() {
        let home = "registry.example.com";
        assert_eq!(reach(home, "https://registry.example.com/v2/"), Ok(Reach::Anywhere));
        assert_eq!(reach(home, "https://registry.example.com:444/"), Ok(Reach::Public));
        assert_eq!(reach(home, "https://127.0.0.1/"), Ok(Reach::Public), "an address that is then refused");
        assert_eq!(reach(home, "http://registry.example.com/"), Err(Astray::Plain));
        assert_eq!(reach(home, "ftp://storage.example.com/"), Err(Astray::Plain));
        assert_eq!(reach(home, "https://user:password@registry.example.com/"), Err(Astray::Credentials));
        assert_eq!(reach("127.0.0.1:5000", "http://127.0.0.1:5000/x"), Ok(Reach::ThisMachine));
        assert_eq!(reach("127.0.0.1:5000", "http://127.0.0.1:5001/x"), Err(Astray::Plain));
        assert_eq!(reach("127.0.0.1:5000", "https://127.0.0.1:5000/x"), Ok(Reach::Public));
    }

    #[test]
    fn attack_51_a_name_with_one_address_inside_is_not_reached_at_all() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let mixed = addresses(&["1.1.1.1:443", "10.0.0.7:443"]);
        assert_eq!(Reach::Public.check(&mixed), Err(Astray::Inside("10.0.0.7".parse().unwrap())));
        assert_eq!(Reach::Anywhere.check(&mixed), Ok(()));
        assert_eq!(Reach::ThisMachine.check(&addresses(&["127.0.0.1:80"])), Ok(()));
        assert!(Reach::ThisMachine.check(&addresses(&["127.0.0.1:80", "1.1.1.1:80"])).is_err());
    }
}

//! `http = [{ host = "api.example.com", methods = ["POST"] }]`: the hosts that guests may send requests to.

use crate::{AddressRange, HostPattern, HttpGrant};

use super::reader::Section;
use super::value::{Bytes, Parsed};

/// Reads the grant `http` of a section, and records every entry that cannot hold.
pub(super) fn read_http_grants(section: &mut Section) -> Vec<HttpGrant> {
    section.sections("http").into_iter().filter_map(read_http_grant).collect()
}

fn read_http_grant(mut section: Section) -> Option<HttpGrant> {
    let host = section.required::<Parsed<HostPattern>>("host");
    let methods = section.or("methods", HttpGrant::METHODS_DEFAULT.map(str::to_owned).to_vec());
    let ports = section.optional("ports");
    let tls = section.or("tls", true);
    let addresses = section.or::<Vec<Parsed<AddressRange>>>("addresses", Vec::new());
    let Bytes(max_response) = section.or("max_response", Bytes(HttpGrant::MAX_RESPONSE_DEFAULT));
    let grant = host.map(|Parsed(host)| {
        let addresses = addresses.into_iter().map(|Parsed(range)| range).collect();
        HttpGrant { host, methods, ports, tls, addresses, max_response }
    });
    for (key, objection) in grant.iter().flat_map(HttpGrant::objections) {
        section.problem(key, objection);
    }
    section.finish();
    grant
}

#[cfg(test)]
mod tests {
    use super::super::problem::Problems;
    use super::super::reader::Document;
    use super::*;

    fn parse(http: &str) -> Result<Vec<HttpGrant>, Problems> {
        let mut document = Document::parse("acme.toml", &format!("[grants]\nhttp = {http}"))?;
        let mut root = document.root();
        let mut section = root.section("grants");
        let grants = read_http_grants(&mut section);
        section.finish();
        root.finish();
        document.finish(Some(grants))
    }

    #[test]
    fn the_grant_of_the_documentation_is_read() {
        let grants = parse(r#"[{ host = "api.example.com", methods = ["POST"], ports = [443] }]"#).unwrap();
        let expected = HttpGrant {
            methods: vec!["POST".to_owned()],
            ports: Some(vec![443]),
            ..HttpGrant::new("api.example.com".parse().unwrap())
        };
        assert_eq!(grants, [expected]);
    }

    #[test]
    fn every_key_but_the_host_has_a_default() {
        assert_eq!(
            parse("[{ host = '*.example.com' }]"),
            Ok(vec![HttpGrant::new("*.example.com".parse().unwrap())])
        );
        let all =
            "[{ host = 'kiln', tls = false, addresses = ['10.1.2.0/24', '::1'], max_response = '1MiB' }]";
        let [grant] = &parse(all).unwrap()[..] else { panic!("there is one") };
        assert_eq!((grant.tls, grant.ports(), grant.max_response), (false, [80].as_slice(), 1 << 20));
        assert_eq!(grant.addresses.len(), 2);
    }

    #[test]
    fn every_mistake_is_named_with_its_key() {
        for (http, part) in [
            ("true", "`grants.http` must be a list of tables"),
            ("['api.example.com']", "`grants.http` must be a table"),
            ("[{}]", "`grants.http.host` is missing"),
            ("[{ host = '127.1' }]", "`grants.http.host` cannot be read: `127.1` is no host"),
            ("[{ host = '*.com' }]", "at least two labels"),
            (
                "[{ host = 'a', method = ['GET'] }]",
                "`grants.http.method` is not known; did you mean `methods`?",
            ),
            (
                "[{ host = 'a', methods = ['post'] }]",
                "`grants.http.methods` has \"post\", which is no method",
            ),
            ("[{ host = 'a', methods = [] }]", "`grants.http.methods` must name at least one"),
            ("[{ host = 'a', ports = [65536] }]", "`grants.http.ports` must be at most 65535"),
            ("[{ host = 'a', ports = [0] }]", "`grants.http.ports` must be from 1"),
            ("[{ host = 'a', addresses = ['here'] }]", "`grants.http.addresses` cannot be read: is neither"),
            ("[{ host = 'a', addresses = ['0.0.0.0/0'] }]", "`grants.http.addresses` must not be all"),
            (
                "[{ host = 'a', max_response = '2GiB' }]",
                "`grants.http.max_response` must be from 1 byte to 1.0 GiB",
            ),
        ] {
            let problems = parse(http).unwrap_err().to_string();
            assert!(problems.contains(part), "{part}\nis not in\n{problems}");
        }
    }
}

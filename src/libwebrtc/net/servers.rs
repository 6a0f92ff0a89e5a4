//! The servers that help to find a way, as applications name them.

use std::fmt;

use crate::pc::Carrier;

/// What a server does.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Help {
    /// Says what address a datagram came from.
    Stun,
    /// Lends an address.
    Turn {
        carrier: Carrier,
        username: String,
        password: String,
    },
}

/// A server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// As the application named it.
    pub(crate) url: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) help: Help,
}

/// A password is nobody's business.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("url", &self.url).finish()
    }
}

impl Server {
    /// Reads a URL (RFC 7064, RFC 7065); `None` when it names nothing that can be used here.
    pub(crate) fn parse(url: &str, username: &str, password: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once(':')?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let transport = match query.split_once('=') {
            None if query.is_empty() => None,
            Some(("transport", transport)) => Some(transport.to_ascii_lowercase()),
            None | Some(_) => return None,
        };
        let (carrier, port) = match (scheme.to_ascii_lowercase().as_str(), transport.as_deref()) {
            ("stun", None | Some("udp")) => (None, 3478),
            ("turn", None | Some("udp")) => (Some(Carrier::Udp), 3478),
            ("turn", Some("tcp")) => (Some(Carrier::Tcp), 3478),
            ("turns", None | Some("tcp")) => (Some(Carrier::Tls), 5349),
            // STUN over TLS serves no media, and TURN over DTLS nobody.
            _ => return None,
        };
        let (host, port) = split_port(place, port)?;
        Some(Self {
            url: url.to_owned(),
            host: host.to_owned(),
            port,
            help: match carrier {
                None => Help::Stun,
                Some(carrier) => Help::Turn {
                    carrier,
                    username: username.to_owned(),
                    password: password.to_owned(),
                },
            },
        })
    }
}

/// The host and the port of `host`, `host:port`, `[address]` or `[address]:port`.
fn split_port(place: &str, default: u16) -> Option<(&str, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            match rest.strip_prefix(':') {
                Some(port) => (host, port.parse().ok()?),
                None if rest.is_empty() => (host, default),
                None => return None,
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (place, default),
        },
    };
    (!host.is_empty() && port != 0).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Option<(String, u16, Option<Carrier>)> {
        let server = Server::parse(url, "user", "secret")?;
        let carrier = match server.help {
            Help::Stun => None,
            Help::Turn { carrier, .. } => Some(carrier),
        };
        Some((server.host, server.port, carrier))
    }

    #[test]
    fn urls_are_read() {
        let host = || "a.example".to_owned();
        assert_eq!(read("stun:a.example"), Some((host(), 3478, None)));
        assert_eq!(
            read("turn:a.example:443?transport=udp"),
            Some((host(), 443, Some(Carrier::Udp)))
        );
        assert_eq!(
            read("turn:a.example?transport=TCP"),
            Some((host(), 3478, Some(Carrier::Tcp)))
        );
        assert_eq!(
            read("turns:a.example:443?transport=tcp"),
            Some((host(), 443, Some(Carrier::Tls)))
        );
        assert_eq!(
            read("turns:[2001:db8::1]"),
            Some(("2001:db8::1".to_owned(), 5349, Some(Carrier::Tls)))
        );
    }

    #[test]
    fn what_is_no_url_is_left_out() {
        for url in [
            "",
            "turn",
            "turn:",
            "turn::3478",
            "turn:a:b",
            "turn:a:0",
            "turn:[::1",
            "turn:[::1]3478",
            "http:a.example",
            "turns:a.example?transport=udp",
            "turn:a.example?transport=sctp",
            "turn:a.example?secret=1",
        ] {
            assert_eq!(read(url), None, "{url}");
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let server = Server::parse("turn:a.example", "user", "secret").unwrap();
        assert!(!format!("{server:?}").contains("secret"));
    }
}

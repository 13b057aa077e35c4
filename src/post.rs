//! The HTTP client of the bridge: one POST on one connection, to an address that was looked at.
//!
//! No redirection is followed and no connection kept, so that what is sent goes to the address that was looked at and
//! nowhere else. What is not public is sent to only where the settings say so: whoever may make routes or webhooks shall not
//! reach what only we can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::bridge::{AskUrl, Network};

/// Sends POST requests.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// What is not public and may be sent to all the same.
    pub(crate) private_networks: Arc<[Network]>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) product: Arc<str>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) url: AskUrl,
    /// Beside what HTTP itself needs; names in lower case.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// JSON.
    pub(crate) body: Bytes,
    /// So many octets of the answer are read.
    pub(crate) answer_size: usize,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// Whether that is all of it.
    pub(crate) is_whole: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(crate) enum Fault {
    /// The host has no address.
    #[error("the host has no address")]
    HostNotFound,
    /// The host has only addresses that may not be sent to.
    #[error("{0} is a private address")]
    NotAllowed(IpAddr),
    /// No connection.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// A certificate that proves nothing, or no TLS.
    #[error("TLS: {0}")]
    Tls(String),
    /// No HTTP, or one that ends early.
    #[error("no whole answer: {0}")]
    Broken(String),
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Client {
    /// Sends it and reads the answer, for however long that takes.
    pub(crate) async fn post(&self, post: Post) -> Result<Answer, Fault> {
        let url = &post.url;
        let stream = self.connect(&url.host, url.port).await?;
        if !url.is_secure {
            return self.exchange(stream, post).await;
        }
        let tls = |error: &dyn std::fmt::Display| Fault::Tls(error.to_string());
        let name = ServerName::try_from(url.host.clone()).map_err(|error| tls(&error))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(|error| tls(&error))?;
        self.exchange(stream, post).await
    }

    /// Connects to the first address that may be asked and takes us.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Fault> {
        let found = tokio::net::lookup_host((host, port)).await;
        let found: Vec<SocketAddr> = found.map_err(|_| Fault::HostNotFound)?.collect();
        let mut fault = Fault::HostNotFound;
        for address in found.into_iter().take(ADDRESSES) {
            if !self.may_reach(address.ip().to_canonical()) {
                fault = Fault::NotAllowed(address.ip());
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true).ok();
                    return Ok(stream);
                }
                Err(error) => fault = Fault::Unreachable(error.to_string()),
            }
        }
        Err(fault)
    }

    fn may_reach(&self, address: IpAddr) -> bool {
        is_public(address) || self.private_networks.iter().any(|network| network.contains(address))
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        post: Post,
    ) -> Result<Answer, Fault> {
        let Post { url, headers, body, answer_size } = post;
        let mut request = http::Request::post(url.path)
            .header("host", url.authority)
            .header("user-agent", &*self.product)
            .header("accept", "application/json")
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| broken(&error))?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD).max_headers(HEADERS);
        let handshake = builder.handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
        let exchange = async move {
            let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
            read(answer, answer_size).await
        };
        tokio::pin!(exchange, connection);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // It may be over while some of the body is still to be read.
            _ = &mut connection => exchange.await,
        }
    }
}

/// Reads so many octets of an answer.
async fn read(answer: http::Response<Incoming>, most: usize) -> Result<Answer, Fault> {
    let status = answer.status().as_u16();
    let (mut body, mut octets) = (answer.into_body(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        let fits = most - octets.len();
        octets.extend_from_slice(&data[..data.len().min(fits)]);
        if data.len() > fits {
            return Ok(Answer { status, body: octets.freeze(), is_whole: false });
        }
    }
    Ok(Answer { status, body: octets.freeze(), is_whole: true })
}

fn broken(error: &dyn std::fmt::Display) -> Fault {
    Fault::Broken(error.to_string())
}

/// Whether anybody in the Internet could reach it (RFC 6890): what is not is our own network, or this machine.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_special =
        a == 0 || a >= 240 || (a == 192 && b == 0 && c == 0) || (a == 198 && b & 0xfe == 18);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || is_shared
        || is_special)
}

/// Global unicast, but for documentation, and for what leads into IPv4 by 6to4 or NAT64.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_global = first & 0xe000 == 0x2000;
    is_global && first != 0x2002 && !(first == 0x2001 && (second == 0xdb8 || second < 0x200))
}

/// Addresses of one host that are tried.
const ADDRESSES: usize = 4;
/// Octets of an answer's head.
const HEAD: usize = 16 * 1024;
/// Headers of an answer.
const HEADERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_alone_is_not_public() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450::1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}

//! Asks DNS: NAPTR, SRV, A and AAAA, with a cache that keeps what the records allow (RFC 1035, RFC 2308).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::sip::locate::{Answer, Naptr, Question, Srv};

/// Whom to ask, and how much is kept.
#[derive(Clone, Debug)]
pub struct ResolverOptions {
    /// Name servers; none: those of the system.
    pub servers: Vec<SocketAddr>,
    /// How long a question may take.
    pub timeout: Duration,
    /// Answers that are kept at once.
    pub cache: usize,
    /// The longest that it is kept that there is no such record.
    pub negative_ttl: Duration,
    /// Families of addresses that we can send to, that which is tried first standing first.
    pub families: Vec<Family>,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// DNS as it is asked here. Clones share their cache.
#[derive(Clone)]
pub struct Resolver {
    dns: Arc<TokioResolver>,
    options: Arc<ResolverOptions>,
}

impl Resolver {
    /// Reads the system's settings where no servers are given: `/etc/resolv.conf`, and `/etc/hosts` in any case.
    ///
    /// # Errors
    /// If they cannot be read or make no sense.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(options: ResolverOptions) -> io::Result<Self> {
        let mut builder = if options.servers.is_empty() {
            TokioResolver::builder_tokio().or_else(|error| {
                warn!(%error, "the system names no name servers: names beyond /etc/hosts are not found");
                Ok::<_, NetError>(with_servers(&[]))
            })
        } else {
            Ok(with_servers(&options.servers))
        }
        .map_err(io::Error::other)?;
        tune(builder.options_mut(), &options);
        let dns = builder.build().map_err(io::Error::other)?;
        Ok(Self { dns: Arc::new(dns), options: Arc::new(options) })
    }

    /// Asks, and waits as long as the options allow.
    pub async fn ask(&self, question: &Question) -> Answer {
        match timeout(self.options.timeout, self.ask_patiently(question)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Silence,
        }
    }

    async fn ask_patiently(&self, question: &Question) -> Answer {
        match question {
            _ if question.name().is_empty() => Answer::Nothing,
            Question::Services(name) => {
                let found = self.look_up(&absolute(name), RecordType::NAPTR).await;
                told(found, naptr).map_or_else(|none| none, Answer::Services)
            }
            Question::Servers(name) => {
                let found = self.look_up(&absolute(name), RecordType::SRV).await;
                told(found, srv).map_or_else(|none| none, Answer::Servers)
            }
            Question::Addresses(name) => self.ask_addresses(name).await,
        }
    }

    /// Both families at once; a name without dots may be one of our own domain.
    async fn ask_addresses(&self, name: &str) -> Answer {
        let wants = |family| self.options.families.contains(&family);
        let ask = async |family, record| {
            if !wants(family) {
                return Err(Answer::Nothing);
            }
            told(self.look_up(name, record).await, address)
        };
        let (v4, v6) =
            tokio::join!(ask(Family::V4, RecordType::A), ask(Family::V6, RecordType::AAAA));
        let is_first = |family| self.options.families.first() == Some(&family);
        let answers = if is_first(Family::V6) { [v6, v4] } else { [v4, v6] };
        let is_silent = answers.contains(&Err(Answer::Silence));
        let addresses: Vec<IpAddr> = answers.into_iter().flatten().flatten().collect();
        match (addresses.is_empty(), is_silent) {
            (false, _) => Answer::Addresses(addresses),
            (true, true) => Answer::Silence,
            (true, false) => Answer::Nothing,
        }
    }

    async fn look_up(&self, name: &str, record: RecordType) -> Result<Lookup, NetError> {
        self.dns.lookup(Name::from_utf8(name)?, record).await
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("options", &self.options).finish_non_exhaustive()
    }
}

type Builder = hickory_resolver::ResolverBuilder<TokioRuntimeProvider>;

fn with_servers(servers: &[SocketAddr]) -> Builder {
    let server = |at: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let connections = connections.map(|mut connection| {
            connection.port = at.port();
            connection
        });
        NameServerConfig::new(at.ip(), true, connections.into())
    };
    let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
}

fn tune(own: &mut ResolverOpts, options: &ResolverOptions) {
    // A datagram may get lost: once more within the time that there is.
    own.timeout = options.timeout / 2;
    own.attempts = 1;
    own.cache_size = u64::try_from(options.cache).unwrap_or(u64::MAX);
    own.positive_max_ttl = Some(LONGEST);
    own.negative_max_ttl = Some(options.negative_ttl);
    // Services and servers must not be sought in our own domain.
    own.ndots = own.ndots.max(1);
}

/// What stands in the answer, or what its absence means.
fn told<T>(
    found: Result<Lookup, NetError>,
    read: impl Fn(&RData) -> Option<T>,
) -> Result<Vec<T>, Answer> {
    match found {
        Ok(found) => {
            let records = found.answers().iter().filter_map(|record| read(&record.data));
            let records: Vec<T> = records.take(MOST).collect();
            if records.is_empty() { Err(Answer::Nothing) } else { Ok(records) }
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Err(Answer::Nothing),
        // A server that is there but refuses or fails knows nothing of this.
        Err(error @ (NetError::Dns(_) | NetError::Proto(_))) => {
            debug!(%error, "DNS failed");
            Err(Answer::Nothing)
        }
        Err(error) => {
            debug!(%error, "no name server answers");
            Err(Answer::Silence)
        }
    }
}

fn naptr(record: &RData) -> Option<Naptr> {
    let RData::NAPTR(record) = record else { return None };
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    // RFC 3263 §4.1: a rule with a regular expression is none of SIP's.
    record.regexp.is_empty().then(|| Naptr {
        order: record.order,
        preference: record.preference,
        flags: text(&record.flags),
        service: text(&record.services),
        replacement: relative(&record.replacement),
    })
}

fn srv(record: &RData) -> Option<Srv> {
    let RData::SRV(record) = record else { return None };
    Some(Srv {
        priority: record.priority,
        weight: record.weight,
        port: record.port,
        target: relative(&record.target),
    })
}

fn address(record: &RData) -> Option<IpAddr> {
    if let RData::A(address) = record {
        Some(IpAddr::V4(address.0))
    } else if let RData::AAAA(address) = record {
        Some(IpAddr::V6(address.0))
    } else {
        None
    }
}

/// A name that is whole, to which no domain of ours is added.
fn absolute(name: &str) -> String {
    if name.ends_with('.') { name.to_owned() } else { format!("{name}.") }
}

/// Without the dot at its end, unless it is all that there is.
fn relative(name: &Name) -> String {
    let name = name.to_ascii();
    match name.strip_suffix('.') {
        None | Some("") => name,
        Some(name) => name.to_owned(),
    }
}

/// Records that are read of one answer.
const MOST: usize = 64;
/// The longest that any record is kept, whatever it says (RFC 2181 §8 allows 68 years).
const LONGEST: Duration = Duration::from_hours(24);

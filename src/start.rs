//! Puts the parts together: binds what is to be bound, starts what runs, and tells a newcomer what to do next.

mod addresses;
mod clerk;
mod post_office;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use api::archive::{Desk, Document, EventSpan};
use api::auth::Keys;
use api::control::{self, Control};
use api::events::{EventLog, LogSettings, first_seq};
use api::model::TrunkConfig;
use api::webhooks::{Errand, Webhooks, webhooks};
use jiff::Timestamp;
use mixer::codec::OpusOptions;
use mixer::quality::AlarmOptions;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::addresses::Addresses;
use crate::ask::Asker;
use crate::bridge::{self, Bridge, Rule, TrunkFault};
use crate::config::{self, Caller, ClientCertificate, Config, MediaIo, Prack, Sip, Trunk};
use crate::driver::{Driver, read_clock};
use crate::key::{self, ApiKey, KeyError};
use crate::media::{self, Io, Media};
use crate::net::{self, Collector, Family, Files, Net, Resolver, ResolverOptions, Tls};
use crate::post::Client;
use crate::recorder::order::Report;
use crate::recorder::{self, Recorder};
use crate::shelf::Shelf;
use crate::sip::compositor::CompositorOptions;
use crate::sip::digest::Account;
use crate::sip::registrar::RegistrarOptions;
use crate::sip::transport::Transport;
use crate::sip::{Host, Limits, Uri, endpoint};
use crate::store::{self, Place, Retention, Store, StoreError};
use crate::webhooks::{Office, OfficeSettings};
use crate::webrtc::Identity;

/// Why the bridge did not start. Each says what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// No API key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A SIP address cannot be bound.
    #[error(transparent)]
    Sip(io::Error),
    /// The API's address cannot be bound.
    #[error("API on {0}: {1}; choose another address by --api")]
    Api(SocketAddr, io::Error),
    /// The media threads cannot start.
    #[error("media threads: {0}")]
    Media(io::Error),
    /// The name servers cannot be asked.
    #[error("DNS: {0}; set dns.servers")]
    Dns(io::Error),
    /// The folder of sounds cannot be used.
    #[error("the folder of sounds in `data`: {0}")]
    Sounds(io::Error),
    /// The folder of recordings cannot be used.
    #[error("the folder of recordings in `data`: {0}")]
    Recordings(io::Error),
    /// The collector of HEP3 cannot be reached.
    #[error("hep.collector: {0}")]
    Hep(io::Error),
    /// No certificate for DTLS can be made.
    #[error("certificate for DTLS: {0}; media.dtls = false does without")]
    Certificate(String),
    /// The roots of who is asked cannot be read.
    #[error("ask.ca: {0}")]
    Ask(io::Error),
    /// The roots of the mail server cannot be read, or are none.
    #[error("mail.ca: {0}")]
    Mail(String),
    /// The roots of the directory cannot be read.
    #[error("directory.ca: {0}")]
    Directory(io::Error),
    /// The roots of webhooks cannot be read.
    #[error("webhooks.ca: {0}")]
    Webhooks(io::Error),
    /// What must survive a restart cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gives no randomness.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// A bridge that runs.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<u32>,
    tasks: JoinSet<()>,
    tls: Tls,
    /// Where SIP over UDP is spoken.
    pub sip_udp: Vec<SocketAddr>,
    /// Where SIP is spoken over connections.
    pub sip_streams: Vec<(Transport, SocketAddr)>,
    /// Where HTTP is served.
    pub api: SocketAddr,
}

impl Running {
    /// What makes it drain: no more calls, and those that are up may go on for the grace time. Called again, hangs up at once.
    pub fn drainer(&self) -> impl Fn() + use<> {
        let stop = self.stop.clone();
        move || stop.send_modify(|asked| *asked += 1)
    }

    /// Runs until SIGTERM or SIGINT, then drains; a second signal hangs up at once. SIGHUP has certificates read again.
    ///
    /// # Errors
    /// The signals cannot be watched.
    pub async fn until_signalled(self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let (drain, tls) = (self.drainer(), self.tls.clone());
        let finished = self.finished();
        tokio::pin!(finished);
        loop {
            tokio::select! {
                () = &mut finished => return Ok(()),
                _ = terminate.recv() => drain(),
                _ = interrupt.recv() => drain(),
                _ = hang_up.recv() => match tls.reload() {
                    Ok(()) => info!("certificates were read again"),
                    Err(error) => warn!(%error, "the new certificates are wrong: the former stay"),
                },
            }
        }
    }

    /// Waits until the bridge is drained and the API has stopped.
    pub async fn finished(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                warn!(%error, "a task ended badly");
            }
        }
    }
}

/// Starts the bridge as configured.
///
/// # Errors
/// [`StartError`], which says what to do.
pub async fn start(config: &Config) -> Result<Running, StartError> {
    raise_descriptors(config);
    let seed = || getrandom::u64().map_err(StartError::Randomness);
    let bridge_seed = bridge_seed()?;
    let key = key::api_key(config)?;
    let store = Store::open(&place(config)).await?;
    let (kept, stored_events) = (store.documents().await?, store.events().await?);
    let (shelf, sounds) = sounds(config, &kept).map_err(StartError::Sounds)?;
    let keys = Keys::admin_digest(key.digest);
    keys.load(&kept);
    let (webhooks, errands) = kept_webhooks(&kept);
    let letters = post_office::letters(&kept);
    let (listener, api_address) = listen(config.api).await?;
    let (net, packets) = Net::bind(net_options(config)).map_err(StartError::Sip)?;
    let tls = net.tls().clone();
    let asker = asker(config)?;
    let identity = config.media.dtls.then(|| identity(config.media.dtls_timeout)).transpose()?;
    let options = media::Options { identity: identity.clone(), ..media_options(config, seed()?) };
    let (mut media, media_events) = Media::start(&options).map_err(StartError::Media)?;
    let (recorder, reports) = recorder(config, &mut media)?;
    let (sip_udp, sip_streams) = (net.udp_addresses(), net.stream_addresses().to_vec());
    let bound = sip_udp.iter().chain(sip_streams.iter().map(|(_, at)| at)).map(SocketAddr::ip);
    let addresses = Addresses::new(config, &bound.collect::<Vec<_>>());
    let clock = read_clock();
    let fingerprint = identity.map(|identity| identity.fingerprint().clone());
    let bridge = Bridge::new(
        bridge::Settings { sounds, kept, fingerprint, ..bridge_settings(config, media.workers()) },
        endpoint_settings(config, &sip_udp, &sip_streams),
        clock,
        bridge_seed,
        Arc::new(addresses),
    );
    let (desk, writer, reader) = store::staff(store, retention(config));
    let log = event_log(config, clock.wall, (desk.clone(), stored_events), seed()?);
    let (control, commands) = control::channel(COMMANDS);
    let (stop, stopping) = watch::channel(0);
    let (drained, is_drained) = oneshot::channel::<()>();
    let mut tasks = JoinSet::new();
    tasks.spawn(writer.run());
    tasks.spawn(reader.run());
    let collector = config.hep.collector.set().map(|at| Collector::connect(*at));
    let directory = clerk::open(config, &mut tasks)?;
    let resolver = Resolver::new(resolver_options(config, &sip_udp, &sip_streams));
    // It follows the log from before anything happens.
    let mailroom =
        post_office::open((config, seed()?), (&log, &control, &desk), (letters, &mut tasks))?;
    let driver = Driver {
        bridge,
        net,
        packets,
        resolver: resolver.map_err(StartError::Dns)?,
        collector: collector.transpose().map_err(StartError::Hep)?,
        questions: config.dns.questions,
        media,
        media_events,
        asker,
        directory: directory.clone(),
        commands,
        log: log.clone(),
        store: desk.clone(),
        shelf,
        recorder,
        reports,
        stop: stopping,
    };
    tasks.spawn(async move {
        driver.run().await;
        drop(drained); // the API stops once there is nothing left to steer
    });
    let office = office(config, (webhooks.clone(), errands), (&log, &control, &desk), seed()?)?;
    tasks.spawn(office.run());
    let settings = api_settings(config);
    let api = api::Api { control, log, keys, desk, webhooks, mailroom, directory, settings };
    tasks.spawn(api::serve(listener, api, async { drop(is_drained.await) }));
    let running = Running { stop, tasks, tls, sip_udp, sip_streams, api: api_address };
    greet(&running, &key);
    Ok(running)
}

/// Keys are drawn from it: it is as long as they are.
fn bridge_seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(StartError::Randomness)?;
    Ok(seed)
}

async fn listen(at: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Api(at, error);
    let listener = TcpListener::bind(at).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// What a newcomer needs: whom to call, where to look, and the key.
fn greet(running: &Running, key: &ApiKey) {
    let Running { sip_udp, sip_streams, api, .. } = running;
    let udp = sip_udp.iter().map(|address| (Transport::Udp, *address));
    for (transport, address) in udp.chain(sip_streams.iter().copied()) {
        let host = reachable(address);
        let is_usual = address.port() == transport.default_port();
        let port = if is_usual { String::new() } else { format!(":{}", address.port()) };
        let (before, after) = match transport {
            Transport::Udp => ("phones call sip:NAME@", ""),
            Transport::Tcp => ("phones call sip:NAME@", ";transport=tcp"),
            Transport::Tls => ("phones call sip:NAME@", ";transport=tls"),
            Transport::Ws => ("browsers connect to ws://", "/ and call sip:NAME@HOST"),
            Transport::Wss => ("browsers connect to wss://", "/ and call sip:NAME@HOST"),
        };
        info!("{before}{host}{port}{after} (any NAME makes a room, see rooms.auto_create)");
    }
    let page = SocketAddr::new(reachable_ip(*api), api.port());
    if let Some(key) = &key.made {
        info!("the API key, shown this once: {key}");
        info!("operator page: http://{page}/#key={key}");
    } else {
        info!(
            "operator page: http://{page}/ (sign in with the API key of the first start, or set --api-key)"
        );
    }
    info!(
        "try: curl -H \"Authorization: Bearer $KEY\" http://{page}/v1/rooms   (routes: http://{page}/openapi.json)"
    );
}

/// An address that can be typed into a phone on this machine.
fn reachable(address: SocketAddr) -> String {
    let ip = reachable_ip(address);
    if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }
}

fn reachable_ip(address: SocketAddr) -> IpAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    }
}

/// The folder of sounds, and what lies there.
fn sounds(config: &Config, kept: &[Document]) -> io::Result<(Shelf, bridge::SoundSettings)> {
    let shelf = Shelf::new(config.data.join(SOUNDS), config.sounds.max_length)?;
    let found = shelf.load(|file| bridge::keeps_sound(kept, file))?;
    Ok((shelf, bridge::SoundSettings { memory: config.sounds.memory, found }))
}

/// Who writes recordings, and finishes those that an earlier run did not.
fn recorder(
    config: &Config,
    media: &mut Media,
) -> Result<(Recorder, mpsc::Receiver<Report>), StartError> {
    let (reels, taken) = sync_channel(REELS);
    let (reports, told) = mpsc::channel(REELS);
    media.give_reels_to(reels);
    let options = recorder::Options {
        folder: config.data.join(RECORDINGS),
        keep_free: config.recordings.keep_free,
        keep_days: config.recordings.keep_days,
    };
    let recorder = Recorder::start(options, taken, reports).map_err(StartError::Recordings)?;
    Ok((recorder, told))
}

fn asker(config: &Config) -> Result<Asker, StartError> {
    let path = Some(config.ask.ca.as_path()).filter(|path| !path.as_os_str().is_empty());
    Ok(Asker(Client {
        private_networks: config.ask.private_networks.clone().into(),
        tls: net::roots_only(path).map_err(StartError::Ask)?,
        product: config.sip.user_agent.as_str().into(),
    }))
}

/// Those who tell webhooks of events.
fn office(
    config: &Config,
    (webhooks, errands): (Webhooks, mpsc::Receiver<Errand>),
    (log, control, desk): (&EventLog, &Control, &Desk),
    seed: u64,
) -> Result<Office, StartError> {
    Ok(Office {
        webhooks,
        errands,
        log: log.clone(),
        control: control.clone(),
        desk: desk.clone(),
        client: postman(config)?,
        settings: office_settings(config, seed),
    })
}

/// Who sends events to webhooks.
fn postman(config: &Config) -> Result<Client, StartError> {
    let path = Some(config.webhooks.ca.as_path()).filter(|path| !path.as_os_str().is_empty());
    Ok(Client {
        private_networks: config.webhooks.private_networks.clone().into(),
        tls: net::roots_only(path).map_err(StartError::Webhooks)?,
        product: config.sip.user_agent.as_str().into(),
    })
}

fn kept_webhooks(kept: &[Document]) -> (Webhooks, mpsc::Receiver<Errand>) {
    let (webhooks, errands) = webhooks();
    webhooks.load(kept);
    (webhooks, errands)
}

/// How much the API may be asked, and by whose pages.
fn api_settings(config: &Config) -> api::Settings {
    let limits = &config.limits;
    api::Settings {
        max_streams: limits.api_streams,
        max_streams_of_key: limits.api_streams_per_key,
        requests_per_second: limits.api_requests_per_second,
        connections_per_source: limits.api_connections_per_source,
        cors: config.api_cors.iter().map(ToString::to_string).collect(),
        max_upload: config.sounds.upload_size,
        recordings: config.data.join(RECORDINGS),
        ..api::Settings::default()
    }
}

fn office_settings(config: &Config, seed: u64) -> OfficeSettings {
    let settings = &config.webhooks;
    OfficeSettings {
        timeout: settings.timeout,
        at_once: settings.at_once,
        disable_after: Duration::from_hours(24) * settings.disable_after_days,
        seed,
    }
}

/// The log, which goes on where that of an earlier run has stopped.
fn event_log(
    config: &Config,
    wall: Timestamp,
    (desk, stored): (Desk, Option<EventSpan>),
    seed: u64,
) -> EventLog {
    let unix_ms = u64::try_from(wall.as_millisecond()).unwrap_or(1);
    let (capacity, first_seq) = (config.events.log_size, first_seq(unix_ms, stored));
    EventLog::kept(LogSettings { capacity, first_seq, seed }, desk, stored)
}

fn retention(config: &Config) -> Retention {
    Retention {
        legs: config.records.legs_days,
        calls: config.records.calls_days,
        rooms: config.records.rooms_days,
        audit: config.records.audit_days,
        events: config.records.events_days,
        most_events: config.records.events,
        deliveries: config.records.deliveries_days,
        recordings: config.recordings.keep_days,
    }
}

/// Where what must survive a restart is kept.
fn place(config: &Config) -> Place {
    match config.database.set() {
        Some(url) => Place::Url(url.reveal().to_owned()),
        None => Place::Folder(config.data.clone()),
    }
}

fn raise_descriptors(config: &Config) {
    let legs = config.limits.legs.min(config.rtp_ports.pairs());
    let needed = u64::try_from(2 * legs + config.limits.connections + SPARE).unwrap_or(u64::MAX);
    match media::raise_descriptor_limit(needed) {
        Ok(limit) if limit.is_enough() => {}
        Ok(limit) => warn!(
            "only {} open files are allowed, {needed} are needed for limits.legs and limits.connections: \
             calls beyond will fail; raise `ulimit -n` or LimitNOFILE=, or lower the limits",
            limit.allowed
        ),
        Err(error) => warn!(%error, "the limit of open files cannot be raised"),
    }
}

fn net_options(config: &Config) -> net::Options {
    net::Options {
        udp: config.sip.udp.0.clone(),
        tcp: config.sip.tcp.0.clone(),
        tls: config.sip.tls.0.clone(),
        ws: config.sip.ws.0.clone(),
        wss: config.sip.wss.0.clone(),
        files: files(&config.sip),
        origins: config.sip.ws_origins.clone(),
        message: limits(config),
        connections: config.limits.connections,
        connections_per_source: config.limits.connections_per_source,
        idle: config.sip.idle_timeout,
        handshake: config.sip.handshake_timeout,
        message_time: config.sip.message_timeout,
        ping: config.sip.ws_ping,
        connect: CONNECT,
        queue: PACKETS,
    }
}

/// Addresses are asked for in the families that we listen in.
fn resolver_options(
    config: &Config,
    udp: &[SocketAddr],
    streams: &[(Transport, SocketAddr)],
) -> ResolverOptions {
    let mut own = udp.iter().chain(streams.iter().map(|(_, at)| at));
    let v4 = own.clone().any(SocketAddr::is_ipv4).then_some(Family::V4);
    let v6 = own.any(SocketAddr::is_ipv6).then_some(Family::V6);
    ResolverOptions {
        servers: config.dns.servers.iter().map(|server| server.0).collect(),
        timeout: config.dns.timeout,
        cache: config.dns.cache,
        negative_ttl: config.dns.negative_ttl,
        families: v4.into_iter().chain(v6).collect(),
    }
}

/// An empty path is none.
fn files(sip: &Sip) -> Files {
    let some = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    Files {
        own: some(&sip.tls_certificate).zip(some(&sip.tls_key)),
        clients: some(&sip.tls_client_ca),
        clients_required: sip.tls_client == ClientCertificate::Required,
        servers: some(&sip.tls_ca),
    }
}

fn limits(config: &Config) -> Limits {
    let size = config.limits.message_size;
    let defaults = Limits::default();
    Limits {
        message: size,
        head: defaults.head.min(size),
        headers: config.limits.headers,
        line: defaults.line.min(size),
        uri: defaults.uri.min(size),
        body: size,
    }
}

fn endpoint_settings(
    config: &Config,
    udp: &[SocketAddr],
    streams: &[(Transport, SocketAddr)],
) -> endpoint::Settings {
    let of = |transport: Transport| -> Vec<SocketAddr> {
        streams.iter().filter(|(of, _)| *of == transport).map(|(_, at)| *at).collect()
    };
    let tcp = of(Transport::Tcp);
    let any: Vec<_> = udp.iter().chain(streams.iter().map(|(_, at)| at)).copied().collect();
    let mut usual = endpoint::Settings::default();
    if !config.sip.takeover {
        usual.supported.retain(|tag| tag != "replaces" && tag != "join");
    }
    endpoint::Settings {
        product: config.sip.user_agent.clone(),
        udp_ports: ports(udp, &any),
        tcp_ports: ports(&tcp, &any),
        tls_ports: ports(&of(Transport::Tls), &any),
        ws_ports: ports(&of(Transport::Ws), &any),
        wss_ports: ports(&of(Transport::Wss), &any),
        transports: transports(udp, streams),
        servers: config.dns.hosts,
        silence: config.sip.silence_timeout,
        down_time: config.dns.down_time,
        udp_only_time: config.sip.udp_only_time,
        message: limits(config),
        transactions: config.limits.transactions,
        sessions: config.limits.dialogs,
        nat: config.sip.nat,
        prack: match config.sip.prack {
            Prack::Off => endpoint::Prack::Off,
            Prack::Supported => endpoint::Prack::Supported,
            Prack::Required => endpoint::Prack::Required,
        },
        session_expires: config.sip.session_expires,
        min_se: config.sip.min_se,
        subscriptions: config.limits.subscriptions,
        text: config.limits.message_body,
        subscriptions_per_source: config.limits.subscriptions_per_source,
        subscribe_min: config.sip.subscription_min,
        subscribe_max: config.sip.subscription_max,
        notify_interval: config.sip.notify_interval,
        ..usual
    }
}

/// What DNS may choose: that which we can be answered and called back by.
fn transports(udp: &[SocketAddr], streams: &[(Transport, SocketAddr)]) -> Vec<Transport> {
    let listens = |transport| streams.iter().any(|(own, _)| *own == transport);
    let udp = (!udp.is_empty()).then_some(Transport::Udp);
    let streams = [Transport::Tcp, Transport::Tls].into_iter().filter(|own| listens(*own));
    udp.into_iter().chain(streams).collect()
}

/// The first port of each family; where this transport has no listener of a family, that of another one.
fn ports(own: &[SocketAddr], any: &[SocketAddr]) -> endpoint::Ports {
    let all = || own.iter().chain(any);
    let any = all().next().map_or(5060, SocketAddr::port);
    let first = |is_v4| all().find(|at| at.is_ipv4() == is_v4).map_or(any, SocketAddr::port);
    endpoint::Ports { v4: first(true), v6: first(false) }
}

fn media_options(config: &Config, seed: u64) -> media::Options {
    let media = &config.media;
    media::Options {
        ports: config.rtp_ports.first()..=config.rtp_ports.last(),
        workers: media.workers.set().copied(),
        spread_above: media.spread_above,
        io: match media.io {
            MediaIo::Auto => Io::Auto,
            MediaIo::Plain => Io::Plain,
            MediaIo::IoUring => Io::Uring,
        },
        seed,
        min_delay: media.jitter_min,
        max_delay: media.jitter_ceiling,
        alarm: AlarmOptions {
            degraded: media.quality_degraded,
            recovered: media.quality_recovered,
            patience: media.quality_patience,
        },
        silence_after: unless_zero(media.timeout),
        asleep_after: unless_zero(media.sleep_after),
        ..media::Options::default()
    }
}

/// Zero means never.
fn unless_zero(duration: Duration) -> Duration {
    if duration.is_zero() { Duration::MAX } else { duration }
}

/// A certificate that nobody vouches for but the SDP: made at each start, so that nothing is to be kept secret on disk.
fn identity(timeout: Duration) -> Result<Arc<Identity>, StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Certificate(error.to_string());
    // Two certificates of one name and number are refused by some browsers.
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(StartError::Randomness)?;
    let key = rcgen::KeyPair::generate().map_err(|error| failed(&error))?;
    let mut parameters =
        rcgen::CertificateParams::new(Vec::new()).map_err(|error| failed(&error))?;
    parameters.serial_number = Some(rcgen::SerialNumber::from_slice(&serial));
    let certificate = parameters.self_signed(&key).map_err(|error| failed(&error))?;
    let (certificate, key) = (certificate.der().to_vec(), key.serialize_der());
    Identity::new(certificate, key, timeout).map(Arc::new).map_err(|error| failed(&error))
}

/// What the configuration tells the bridge, but for what is made at start: the fingerprint of our certificate.
pub fn bridge_settings(config: &Config, media_workers: usize) -> bridge::Settings {
    let Config { sip, media, rooms, limits, events, hep, .. } = config;
    let specific = |address: &SocketAddr| !address.ip().is_unspecified();
    let listeners = [&sip.udp, &sip.tcp, &sip.tls, &sip.ws, &sip.wss];
    let media_addresses = listeners.into_iter().flat_map(|all| &all.0).filter(|a| specific(a));
    bridge::Settings {
        node_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        auto_create: rooms.auto_create.clone(),
        auto_create_from: rooms.auto_create_from.clone(),
        factory: rooms.factory.clone(),
        roster: limits.roster,
        messages: limits.messages,
        message_size: limits.message_body,
        messages_per_second: limits.messages_per_second,
        message_wait: sip.message_wait,
        access: access_settings(sip, limits),
        registrar: registrar_options(sip, limits),
        compositor: compositor_options(sip, limits),
        trunks: config.trunks.iter().map(trunk_settings).collect(),
        ask: bridge::AskSettings {
            at_once: config.ask.at_once,
            answer_size: config.ask.answer_size,
        },
        caller_names: config.directory.is_on() && config.directory.caller_names,
        callers: config.callers.iter().map(Caller::limits).collect(),
        prices: config::prices(&config.prices),
        routes: config.routes.iter().cloned().filter_map(|route| Rule::new(route).ok()).collect(),
        max_users: limits.users,
        read_trunk,
        max_trunks: limits.trunks,
        kept: Vec::new(),
        sounds: bridge::SoundSettings::default(),
        recordings: bridge::RecordingSettings {
            at_once: config.recordings.at_once,
            max_length: config.recordings.max_length,
            marks: config.recordings.marks,
        },
        trace: bridge::TraceSettings { entries: limits.trace_entries, memory: limits.trace_memory },
        hep: hep.collector.set().map(|_| copies(hep)),
        max_rooms: limits.rooms,
        max_legs: limits.legs,
        port_pairs: config.rtp_ports.pairs(),
        media_workers,
        media_load: limits.media_load,
        calls_per_second: limits.calls_per_second,
        max_duration: limits.max_duration,
        max_participants: limits.participants_per_room,
        groups_per_room: limits.groups_per_room,
        contributors: media.contributors,
        agc: media.agc,
        noise_suppression: media.noise_suppression,
        echo_suppression: media.echo_suppression,
        codecs: media.codecs.iter().map(|name| name.0).collect(),
        ptime: media.ptime,
        opus: OpusOptions {
            bitrate: media.opus_bitrate,
            fec: media.opus_fec,
            complexity: media.opus_complexity,
            ..OpusOptions::USUAL
        },
        csrc: media.csrc,
        comfort_noise: media.comfort_noise,
        srtp: media.srtp.policy(),
        fingerprint: None,
        ring_timeout: sip.ring_timeout,
        transfer_timeout: sip.transfer_timeout,
        transfer_by_phones: sip.transfer_by_phones,
        takeover: sip.takeover,
        drain_grace: config.drain_grace,
        history: events.history,
        media_addresses: media_addresses.map(SocketAddr::ip).collect(),
    }
}

fn access_settings(sip: &Sip, limits: &config::Limits) -> bridge::AccessSettings {
    let users = sip.users.iter().map(|user| (user.name.clone(), user.password.clone()));
    bridge::AccessSettings {
        realm: sip.realm.clone(),
        users: users.collect(),
        open_to: sip.open_to.clone(),
        algorithms: sip.digest.iter().map(|name| name.0).collect(),
        nonce_lifetime: sip.nonce_lifetime,
        failures: limits.failed_logins,
        ban: sip.ban_time,
        scanners: sip.scanners.iter().map(|name| name.to_ascii_lowercase()).collect(),
    }
}

fn copies(hep: &config::Hep) -> bridge::HepSettings {
    bridge::HepSettings { capture_id: hep.capture_id, password: hep.password.clone() }
}

fn registrar_options(sip: &Sip, limits: &config::Limits) -> RegistrarOptions {
    RegistrarOptions {
        usual: sip.registration_expires,
        min: sip.registration_min,
        max: sip.registration_max,
        contacts: limits.phones_per_user,
        bindings: limits.registrations,
        domain: Host::Name(sip.realm.as_str().into()),
        flow_timer: (sip.idle_timeout / 2).min(FLOW_TIMER),
    }
}

fn compositor_options(sip: &Sip, limits: &config::Limits) -> CompositorOptions {
    CompositorOptions {
        min: sip.subscription_min,
        max: sip.subscription_max,
        publications: limits.publications,
        of_a_user: limits.phones_per_user,
        size: limits.publication_body,
    }
}

/// A trunk that is made over the API has the keys that one of the settings has.
fn read_trunk(config: &TrunkConfig) -> Result<bridge::TrunkSettings, TrunkFault> {
    let value = serde_json::Value::Object(config.0.clone());
    let trunk: Trunk = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string().replace('.', "/");
        let detail = error.inner().to_string();
        let named =
            detail.split('`').nth(1).filter(|_| path == "?" || detail.starts_with("unknown"));
        let pointer = format!("/{}", named.unwrap_or(&path).trim_start_matches('?'));
        TrunkFault { pointer, detail }
    })?;
    if let Some((field, detail)) = trunk.complaint() {
        return Err(TrunkFault { pointer: format!("/{field}"), detail });
    }
    Ok(trunk_settings(&trunk))
}

fn trunk_settings(trunk: &Trunk) -> bridge::TrunkSettings {
    let Trunk { username, password, room, .. } = trunk.clone();
    let has_account = !username.is_empty();
    bridge::TrunkSettings {
        name: trunk.name.clone(),
        gateways: trunk.gateways(),
        account: has_account.then(|| Arc::new(Account { username, password })),
        registers: trunk.register,
        expires: trunk.expires,
        from: Uri::parse(trunk.from.as_bytes()).ok(),
        networks: trunk.networks.clone(),
        room: Some(room).filter(|room| !room.is_empty()),
        check: trunk.check,
        max_calls: trunk.max_calls,
        prefixes: trunk.prefixes.clone(),
        early_media: trunk.early_media,
        rules: trunk_rules(trunk),
        limits: bridge::TrunkLimits {
            calls_per_second: trunk.calls_per_second,
            max_duration: trunk.max_duration,
        },
    }
}

fn trunk_rules(trunk: &Trunk) -> bridge::TrunkRules {
    bridge::TrunkRules {
        trusted: trunk.trusted,
        caller: bridge::CallerRules {
            id: trunk.caller_id,
            allowed: trunk.caller_ids.clone(),
            name: trunk.caller_name,
        },
        headers: trunk.headers.rules(),
        numbers: bridge::NumberRules {
            country: trunk.country_code.clone(),
            national: trunk.national_prefix.clone(),
            international: trunk.international_prefix.clone(),
            format: trunk.number_format,
            user_phone: trunk.user_phone,
        },
        media: config::media_rules(&trunk.codecs, trunk.srtp, trunk.dtmf),
    }
}

/// Of recordings, in the folder `data`.
const RECORDINGS: &str = "recordings";
/// Tracks on their way to the recorder, and its reports on their way to the bridge.
const REELS: usize = 4_096;
/// Commands that may wait for the bridge; one more is answered 503.
const COMMANDS: usize = 1024;
/// In the folder of data.
const SOUNDS: &str = "sounds";
/// SIP messages that may wait for the bridge.
const PACKETS: usize = 8192;
/// How long a phone that keeps its connection open may be silent; NATs forget after less than ten minutes (RFC 5626 §4.4.1).
const FLOW_TIMER: Duration = Duration::from_mins(2);
/// How long a TCP connection to a phone may take to open.
const CONNECT: Duration = Duration::from_secs(4);
/// Descriptors beside those of legs and connections: listeners, HTTP clients, logs.
const SPARE: usize = 1024;

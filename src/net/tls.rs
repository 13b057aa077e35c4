//! TLS for SIP and for WebSockets: our certificate, whom we believe, and both anew on request (RFC 5922).

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::ClientConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoClientAuth, ServerConfig, WebPkiClientVerifier};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::sip::transport::Transport;

/// Where certificates are, all PEM.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Our certificate, with those between it and a root; and its key.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Roots of the certificates that peers show to a TLS listener; nothing: none is asked for.
    pub clients: Option<PathBuf>,
    /// Whether those without one are turned away.
    pub clients_required: bool,
    /// Roots of those we call; nothing: the system's.
    pub servers: Option<PathBuf>,
}

/// What is in force; copies share it.
#[derive(Clone, Debug)]
pub struct Tls {
    files: Arc<Files>,
    current: Arc<watch::Sender<Configs>>,
}

/// Made of the files as they were last good.
#[derive(Clone, Debug, Default)]
struct Configs {
    phones: Option<Arc<ServerConfig>>,
    /// As for phones, but no browser is asked for a certificate.
    browsers: Option<Arc<ServerConfig>>,
    /// Made when first needed, since the system's roots take a while to read.
    dialled: Option<Arc<ClientConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file is wrong, and why.
    pub(super) fn load(files: Files) -> io::Result<Self> {
        let current = watch::Sender::new(Configs::load(&files)?);
        Ok(Self { files: Arc::new(files), current: Arc::new(current) })
    }

    /// Reads the files again, for connections to come. If one is wrong, all stays as it is.
    ///
    /// # Errors
    /// Which file is wrong, and why.
    pub fn reload(&self) -> io::Result<()> {
        self.current.send_replace(Configs::load(&self.files)?);
        Ok(())
    }

    /// Shakes hands with who called.
    pub(super) async fn accept(
        &self,
        transport: Transport,
        stream: TcpStream,
    ) -> io::Result<server::TlsStream<TcpStream>> {
        let Configs { phones, browsers, .. } = self.current.borrow().clone();
        let config = if transport.is_websocket() { browsers } else { phones };
        let config = config.ok_or_else(|| invalid(&"no certificate"))?;
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Shakes hands with whom we call, who must be this domain or address.
    pub(super) async fn dial(
        &self,
        domain: &str,
        stream: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(domain.to_owned()).map_err(|error| invalid(&error))?;
        TlsConnector::from(self.dialled()?).connect(name, stream).await
    }

    fn dialled(&self) -> io::Result<Arc<ClientConfig>> {
        let made = self.current.borrow().dialled.clone();
        if let Some(config) = made {
            return Ok(config);
        }
        let config = Arc::new(dialled(&self.files)?);
        self.current.send_modify(|current| current.dialled = Some(Arc::clone(&config)));
        Ok(config)
    }
}

impl Configs {
    fn load(files: &Files) -> io::Result<Self> {
        let Some(own) = &files.own else { return Ok(Self::default()) };
        let phones = accepting(own, asking(files)?)?;
        let browsers = accepting(own, Arc::new(NoClientAuth))?;
        Ok(Self { phones: Some(phones), browsers: Some(browsers), dialled: None })
    }
}

/// Whether peers are asked for a certificate, and who must have signed it.
fn asking(files: &Files) -> io::Result<Arc<dyn ClientCertVerifier>> {
    let Some(path) = &files.clients else { return Ok(Arc::new(NoClientAuth)) };
    let roots = Arc::new(roots(path)?);
    let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if !files.clients_required {
        verifier = verifier.allow_unauthenticated();
    }
    verifier.build().map_err(|error| named(path, &error))
}

fn accepting(
    own: &(PathBuf, PathBuf),
    asking: Arc<dyn ClientCertVerifier>,
) -> io::Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(&error))?
        .with_client_cert_verifier(asking);
    let (chain, key) = identity(own)?;
    let config = builder.with_single_cert(chain, key).map_err(|error| named(&own.0, &error))?;
    Ok(Arc::new(config))
}

fn dialled(files: &Files) -> io::Result<ClientConfig> {
    let roots = match &files.servers {
        Some(path) => roots(path)?,
        None => system_roots(),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(&error))?
        .with_root_certificates(roots);
    let Some(own) = &files.own else { return Ok(builder.with_no_client_auth()) };
    let (chain, key) = identity(own)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| named(&own.0, &error))
}

/// For asking others over TLS: we prove nothing, and they prove their name by one of these roots, or of the system's.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn roots_only(path: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
    let roots = path.map_or_else(|| Ok(system_roots()), roots)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(&error))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn identity(
    (certificate, key): &(PathBuf, PathBuf),
) -> io::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, &error))?;
    Ok((chain, key))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = found.map_err(|error| named(path, &error))?;
    if found.is_empty() { Err(named(path, &"no certificate in it")) } else { Ok(found) }
}

fn roots(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| named(path, &error))?;
    }
    Ok(roots)
}

/// A root that cannot be read is left out: systems carry odd ones.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "a root certificate of the system cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn named(path: &Path, error: &dyn Display) -> io::Error {
    invalid(&format!("{}: {error}", path.display()))
}

fn invalid(error: &dyn Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

//! Certificates made for one test: an authority, and what it signs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};

use super::bridge::fresh_folder;

/// Who signs; its files go with it.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of the tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = fresh_folder();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// Its own certificate.
    pub fn path(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Writes a certificate for these names and its key to a folder: `cert.pem` and `key.pem`.
    pub fn sign(&self, names: &[&str], folder: &Path) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap();
        let certificate = certificate.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    }

    /// Settings of the bridge: a certificate for this machine.
    pub fn settings(&self) -> String {
        self.sign(&["127.0.0.1", "localhost"], &self.folder);
        let path = |name: &str| self.folder.join(name).display().to_string();
        format!(
            "tls_certificate = \"{}\"\ntls_key = \"{}\"\ntls_ca = \"{}\"\n",
            path("cert.pem"),
            path("key.pem"),
            path("ca.pem")
        )
    }

    /// Writes those files anew, signed by another.
    pub fn replace(&self, other: &Self) {
        other.sign(&["127.0.0.1", "localhost"], &self.folder);
    }

    /// Makes the file of the certificate unreadable for what it is.
    pub fn spoil(&self) {
        std::fs::write(self.folder.join("cert.pem"), "nothing good").unwrap();
    }

    /// A client that believes this authority alone.
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.believer().with_no_client_auth())
    }

    /// As `client`, and it shows a certificate.
    pub fn client_with_certificate(&self) -> Arc<ClientConfig> {
        let (chain, key) = self.identity(&["client.test"]);
        Arc::new(self.believer().with_client_auth_cert(chain, key).unwrap())
    }

    /// A server that is these names.
    pub fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let (chain, key) = self.identity(names);
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }

    fn believer(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
    }

    fn identity(&self, names: &[&str]) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let folder = fresh_folder();
        self.sign(names, &folder);
        let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        (vec![certificate], key)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

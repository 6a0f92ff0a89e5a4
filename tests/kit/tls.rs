//! A private certificate authority, and a TLS proxy in front of a server that speaks in the clear.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, rustls};

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// A certificate could not be used.
    #[error("a certificate could not be used")]
    Tls(#[from] rustls::Error),
    /// No file for the authority's certificate, or no port.
    #[error("the authority's certificate could not be written, or no port is free")]
    Io(#[from] io::Error),
}

/// Makes an authority, writes its certificate as PEM to `file`, and signs one for `localhost` with it.
///
/// # Errors
/// [`TlsError`], for a file that cannot be written above all.
pub fn authority(file: &Path) -> Result<rustls::ServerConfig, TlsError> {
    let (leaf, leaf_key) = signed(file, "localhost")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private_key = leaf_key
        .serialize_der()
        .try_into()
        .map_err(|text: &str| rustls::Error::General(text.to_owned()))?;
    Ok(rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private_key)?)
}

/// Makes an authority, writes its certificate to `authority`, and one for `host` with its key to the other two files.
///
/// # Errors
/// As [`authority`].
pub fn files(authority: &Path, host: &str, certificate: &Path, key: &Path) -> Result<(), TlsError> {
    let (leaf, leaf_key) = signed(authority, host)?;
    std::fs::write(certificate, leaf.pem())?;
    std::fs::write(key, leaf_key.serialize_pem())?;
    Ok(())
}

fn signed(authority: &Path, host: &str) -> Result<(Certificate, KeyPair), TlsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    let key = KeyPair::generate()?;
    std::fs::write(authority, params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);

    let leaf_key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(vec![host.to_owned()])?;
    leaf.use_authority_key_identifier_extension = true;
    Ok((leaf.signed_by(&leaf_key, &issuer)?, leaf_key))
}

/// Takes TLS connections on a free port of the loopback interface and passes them on in the clear; ends when dropped.
#[derive(Debug)]
pub struct TlsProxy {
    port: u16,
    task: JoinHandle<()>,
}

impl TlsProxy {
    /// Starts on the current tokio runtime, in front of `to`, a port of the loopback interface.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(tls: rustls::ServerConfig, to: u16) -> Result<Self, TlsError> {
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(acceptor.clone(), stream, to));
            }
        });
        Ok(Self { port, task })
    }

    /// The port of `localhost` that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(acceptor: TlsAcceptor, stream: TcpStream, to: u16) {
    // A client that does not trust the certificate ends the handshake here.
    let Ok(mut client) = acceptor.accept(stream).await else {
        return;
    };
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", to)).await else {
        return;
    };
    // Either side may close whenever it likes.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

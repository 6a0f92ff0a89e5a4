//! A real LiveKit server on the loopback interface, one per test that wants one.
//!
//! The server takes no port 0, so three free ports are looked for and given to it; should somebody
//! else take one in between, it is started again with others. Nothing is downloaded here.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use livekit_token::AccessTokenError;
use tempfile::TempDir;

use crate::process::{Child, ProcessError};
use crate::token::{self, JoinToken};

/// How long a server may take until it answers. It takes 0.2 s on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Ports are looked for this many times.
const ATTEMPTS: usize = 5;
/// How long the health page may take.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(500);
/// The log is `server.log` in a folder that is removed with the server.
const LOG: &str = "server.log";

/// How a server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// API key that it accepts.
    pub api_key: String,
    /// Its secret, at least 32 bytes long or the server warns.
    pub api_secret: String,
    /// `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// Address of a Redis server to share rooms through.
    pub redis: Option<SocketAddr>,
    /// Where participants are told to send media, which the server expects at [`LivekitServer::media_port`] of 127.0.0.1 all the same.
    pub node_ip: Ipv4Addr,
    /// Port of signal and API, for whoever needs to know it before; a free one by default.
    pub port: Option<u16>,
    /// YAML appended to the configuration: top-level keys that are not in it already, which are
    /// `port`, `bind_addresses`, `keys`, `rtc`, `logging` and, with [`Self::redis`], `redis`.
    pub extra_yaml: String,
    /// YAML lines appended to the section `rtc`, without indentation.
    pub extra_rtc_yaml: String,
}

/// A server that ends when this value is dropped.
#[derive(Debug)]
pub struct LivekitServer {
    options: ServerOptions,
    ports: Ports,
    child: Child,
    folder: TempDir,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    http: u16,
    tcp: u16,
    udp: u16,
}

/// A server that could not be started or controlled.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No program to start.
    #[error(
        "no livekit-server: it is not named by LIVEKIT_SERVER, not on the PATH and not at {looked_at}; \
         `cargo xtask setup` installs it there", looked_at = looked_at.display()
    )]
    Missing {
        /// Where `cargo xtask setup` would have put it.
        looked_at: PathBuf,
    },
    /// `LIVEKIT_SERVER` names nothing.
    #[error("LIVEKIT_SERVER names {}, which is no file", .0.display())]
    NotThere(PathBuf),
    /// No free port, or no folder for the log.
    #[error("no free port, or no temporary folder")]
    Io(#[from] io::Error),
    /// The port that the options name is taken.
    #[error("port {0} is taken: end what listens there, or leave the choice to the test")]
    PortTaken(u16),
    /// It did not start, or does not run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Ports were taken again and again.
    #[error("livekit-server found its ports taken {ATTEMPTS} times; it said:\n{0}")]
    Clash(String),
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            api_key: "testkey".to_owned(),
            api_secret: "a-secret-of-the-tests-that-is-long-enough".to_owned(),
            log_level: "info".to_owned(),
            redis: None,
            node_ip: Ipv4Addr::LOCALHOST,
            port: None,
            extra_yaml: String::new(),
            extra_rtc_yaml: String::new(),
        }
    }
}

impl LivekitServer {
    /// Starts a server and waits until it is healthy. Blocks for about 0.2 s.
    ///
    /// # Errors
    /// [`ServerError`], with the end of the server's log where it has one.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(ServerOptions::default())
    }

    /// As [`Self::start`], with options.
    ///
    /// # Errors
    /// As [`Self::start`], and [`ServerError::PortTaken`].
    pub fn start_with(options: ServerOptions) -> Result<Self, ServerError> {
        let program = program()?;
        let folder = tempfile::Builder::new()
            .prefix("livekit-server-")
            .tempdir()?;
        let mut said = String::new();
        for _ in 0..ATTEMPTS {
            let ports = Ports::pick(options.port)?;
            let mut child = spawn(&program, &options, ports, folder.path())?;
            match wait_until_healthy(&mut child, ports) {
                Ok(()) => {
                    return Ok(Self {
                        options,
                        ports,
                        child,
                        folder,
                    });
                }
                Err(ProcessError::Ended { tail, .. }) if is_clash(&tail) => said = tail,
                Err(error) => return Err(error.into()),
            }
        }
        Err(ServerError::Clash(said))
    }

    /// Where participants and workers connect: `ws://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.ports.http)
    }

    /// Where the API is: `http://127.0.0.1:PORT`.
    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.http)
    }

    /// Port of signal and API.
    pub fn port(&self) -> u16 {
        self.ports.http
    }

    /// UDP port of media.
    pub fn media_port(&self) -> u16 {
        self.ports.udp
    }

    /// API key that it accepts.
    pub fn api_key(&self) -> &str {
        &self.options.api_key
    }

    /// Secret of [`Self::api_key`].
    pub fn api_secret(&self) -> &str {
        &self.options.api_secret
    }

    /// Process id, another one after a restart.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// All it has said, over all its restarts.
    pub fn log(&self) -> String {
        self.child.log()
    }

    /// A token to join one of its rooms.
    ///
    /// # Errors
    /// When a part of the token is empty.
    pub fn join_token(&self, join: &JoinToken) -> Result<String, AccessTokenError> {
        join.sign(self.api_key(), self.api_secret())
    }

    /// A token for its API, with every right in `room`.
    ///
    /// # Errors
    /// When the key or the secret in the options is empty.
    pub fn admin_token(&self, room: &str) -> Result<String, AccessTokenError> {
        token::admin(self.api_key(), self.api_secret(), room)
    }

    /// Kills it, as a crash does (SIGKILL): rooms and connections are gone, ports are free.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// Starts it again on the same ports, killing it first if it runs. Rooms are lost.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.kill();
        self.child = spawn(&program()?, &self.options, self.ports, self.folder.path())?;
        Ok(wait_until_healthy(&mut self.child, self.ports)?)
    }

    /// Freezes it (SIGSTOP): connections stand and nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&mut self) -> Result<(), ServerError> {
        Ok(self.child.pause()?)
    }

    /// Lets it go on after [`Self::pause`] (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&mut self) -> Result<(), ServerError> {
        Ok(self.child.resume()?)
    }
}

impl Ports {
    /// Ports that are free now; all are held until the last is found, so that they differ.
    fn pick(http: Option<u16>) -> Result<Self, ServerError> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let held_http = match http {
            Some(port) => {
                TcpListener::bind(local(port)).map_err(|_| ServerError::PortTaken(port))?
            }
            None => TcpListener::bind(local(0))?,
        };
        // The server binds this one on every interface.
        let held_tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let held_udp = UdpSocket::bind(local(0))?;
        Ok(Self {
            http: held_http.local_addr()?.port(),
            tcp: held_tcp.local_addr()?.port(),
            udp: held_udp.local_addr()?.port(),
        })
    }
}

/// The program to start: `LIVEKIT_SERVER`, else `livekit-server` on the PATH, else the one that
/// `cargo xtask setup` installs.
///
/// # Errors
/// [`ServerError::Missing`] and [`ServerError::NotThere`].
pub fn program() -> Result<PathBuf, ServerError> {
    if let Some(named) = env::var_os("LIVEKIT_SERVER").filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        return if named.is_file() {
            Ok(named)
        } else {
            Err(ServerError::NotThere(named))
        };
    }
    let on_path = env::var_os("PATH").and_then(|path| {
        env::split_paths(&path)
            .map(|folder| folder.join("livekit-server"))
            .find(|at| at.is_file())
    });
    let looked_at = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/livekit-server");
    match on_path {
        Some(program) => Ok(program),
        None if looked_at.is_file() => Ok(looked_at),
        None => Err(ServerError::Missing { looked_at }),
    }
}

fn spawn(
    program: &Path,
    options: &ServerOptions,
    ports: Ports,
    folder: &Path,
) -> Result<Child, ServerError> {
    let config = folder.join("server.yaml");
    fs::write(&config, yaml(options, ports))?;
    let mut command = Command::new(program);
    command.args([OsStr::new("--config"), config.as_os_str()]);
    Ok(Child::spawn(
        "livekit-server",
        &mut command,
        &folder.join(LOG),
    )?)
}

fn yaml(options: &ServerOptions, ports: Ports) -> String {
    let ServerOptions {
        api_key,
        api_secret,
        log_level,
        redis,
        node_ip,
        port: _,
        extra_yaml,
        extra_rtc_yaml,
    } = options;
    let Ports { http, tcp, udp } = ports;
    let redis = redis
        .map(|at| format!("redis:\n  address: {at}\n"))
        .unwrap_or_default();
    let extra_rtc: String = extra_rtc_yaml
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    format!(
        "port: {http}\n\
         bind_addresses: [127.0.0.1]\n\
         keys:\n  {api_key}: {api_secret}\n\
         logging:\n  level: {log_level}\n\
         {redis}\
         rtc:\n  \
           udp_port: {udp}\n  \
           tcp_port: {tcp}\n  \
           node_ip: {node_ip}\n  \
           use_external_ip: false\n  \
           enable_loopback_candidate: true\n  \
           ips:\n    includes: [127.0.0.1/32]\n\
         {extra_rtc}\
         {extra_yaml}\n"
    )
}

fn wait_until_healthy(child: &mut Child, ports: Ports) -> Result<(), ProcessError> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.http));
    child.wait_until("being healthy", START_TIMEOUT, |_| {
        healthy(at).unwrap_or(false)
    })
}

/// Whether the health page says 200.
fn healthy(at: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&at, HEALTH_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(&status == b"HTTP/1.1 200")
}

fn is_clash(log: &str) -> bool {
    log.contains("address already in use")
}

//! The Redis store: a hash and a stream for each call, and two sorted sets that list the open and the ended ones.
//!
//! All keys share the prefix as their hash tag. What a call appends goes through one script, so that fencing, the records and
//! the call's figures change together. Expiry is Redis's own: each write moves it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, Script, ServerErrorKind,
};
use tokio::sync::Mutex;

use crate::backend::{Action, Claimed, Line, Op, Outcome, Writer};
use crate::config::{RedisConfig, Retention};
use crate::error::{ClaimError, StoreError};
use crate::record::Page;
use crate::row::{CallKey, CallStatus, CallSummary, Lease, NewCall};

/// A lost server is noticed within this, beside the configured limit of one command.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Calls whose hashes are asked for in one round trip.
const CALLS_PER_TRIP: usize = 256;
/// Calls of either kind that one sweep deletes; the next one takes the rest.
const SWEPT_CALLS_MAX: usize = 10_000;
/// Records asked for in one round trip: a page has bounded memory whatever their size.
const RECORDS_PER_TRIP: usize = 64;
/// Bytes of a page that is read back.
const PAGE_BYTES_MAX: usize = 8 << 20;

#[derive(Clone, Debug)]
pub(crate) struct RedisStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: RedisConfig,
    retention: Retention,
    connection: Mutex<Option<MultiplexedConnection>>,
    commit: Script,
    claim: Script,
}

impl RedisStore {
    pub(crate) fn new(config: &RedisConfig, retention: &Retention) -> Self {
        Self {
            shared: Arc::new(Shared {
                config: config.clone(),
                retention: retention.clone(),
                connection: Mutex::new(None),
                commit: Script::new(include_str!("redis_commit.lua")),
                claim: Script::new(include_str!("redis_claim.lua")),
            }),
        }
    }

    pub(crate) async fn open(&self) -> Result<(), StoreError> {
        let mut slot = self.shared.connection.lock().await;
        *slot = None;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(self.shared.config.response_timeout));
        let client = self.client()?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(sort)?;
        for script in [&self.shared.commit, &self.shared.claim] {
            script.load_async(&mut connection).await.map_err(sort)?;
        }
        *slot = Some(connection);
        Ok(())
    }

    pub(crate) async fn close(&self) {
        *self.shared.connection.lock().await = None;
    }

    pub(crate) async fn commit(
        &self,
        ops: &[Op],
    ) -> Result<Vec<(Arc<Writer>, Outcome)>, StoreError> {
        let mut connection = self.connection().await?;
        let mut writers: Vec<(Arc<Writer>, Vec<&Op>)> = Vec::new();
        for op in ops {
            match writers
                .iter_mut()
                .find(|(writer, _)| Arc::ptr_eq(writer, &op.writer))
            {
                Some((_, of_writer)) => of_writer.push(op),
                None => writers.push((op.writer.clone(), vec![op])),
            }
        }
        let mut pipeline = Pipeline::with_capacity(writers.len());
        for (writer, of_writer) in &writers {
            pipeline.invoke_script(&self.invocation(writer, of_writer));
        }
        let answers: Vec<(i64, i64)> = pipeline.query_async(&mut connection).await.map_err(sort)?;
        if answers.len() != writers.len() {
            return Err(unexpected("answers are missing"));
        }
        let outcomes = writers
            .into_iter()
            .zip(answers)
            .map(|((writer, _), (next_seq, gap_at))| {
                let outcome = match u64::try_from(next_seq) {
                    Ok(next_seq) => Outcome::Stored {
                        next_seq,
                        gap_at: u64::try_from(gap_at).ok(),
                    },
                    Err(_) => Outcome::Fenced,
                };
                (writer, outcome)
            });
        Ok(outcomes.collect())
    }

    pub(crate) async fn calls(
        &self,
        status: CallStatus,
        limit: usize,
    ) -> Result<Vec<CallSummary>, StoreError> {
        let mut connection = self.connection().await?;
        let last = i64::try_from(limit).unwrap_or(i64::MAX) - 1;
        if last < 0 {
            return Ok(Vec::new());
        }
        let (set, command) = match status {
            CallStatus::Open => (self.key("open"), "ZRANGE"),
            CallStatus::Ended => (self.key("ended"), "ZREVRANGE"),
        };
        loop {
            let keys: Vec<String> = redis::cmd(command)
                .arg(&set)
                .arg(0)
                .arg(last)
                .query_async(&mut connection)
                .await
                .map_err(sort)?;
            let (mut found, mut expired) = (Vec::new(), Vec::new());
            for keys in keys.chunks(CALLS_PER_TRIP) {
                let mut pipeline = Pipeline::with_capacity(keys.len());
                for key in keys {
                    pipeline.hgetall(self.call_key(key));
                }
                let hashes: Vec<HashMap<String, String>> =
                    pipeline.query_async(&mut connection).await.map_err(sort)?;
                for (key, hash) in keys.iter().zip(&hashes) {
                    match summary(hash) {
                        Some(call) => found.push(call),
                        None => expired.push(key.clone()),
                    }
                }
            }
            if expired.is_empty() {
                return Ok(found);
            }
            // Redis has let the calls go; on the list they would hide others.
            redis::cmd("ZREM")
                .arg(&set)
                .arg(&expired)
                .query_async::<()>(&mut connection)
                .await
                .map_err(sort)?;
        }
    }

    pub(crate) async fn call(&self, key: &CallKey) -> Result<Option<CallSummary>, StoreError> {
        let mut connection = self.connection().await?;
        let hash: HashMap<String, String> = redis::cmd("HGETALL")
            .arg(self.call_key(key.as_str()))
            .query_async(&mut connection)
            .await
            .map_err(sort)?;
        Ok(summary(&hash))
    }

    pub(crate) async fn read(
        &self,
        key: &CallKey,
        from: u64,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let mut connection = self.connection().await?;
        let log = self.log_key(key.as_str());
        let mut stored: Vec<(u64, Vec<u8>)> = Vec::new();
        let (mut at, mut bytes) = (from, 0);
        let mut has_more = true;
        while has_more && stored.len() < limit && bytes < PAGE_BYTES_MAX {
            let count = RECORDS_PER_TRIP.min(limit - stored.len());
            let entries: Vec<(String, HashMap<String, Vec<u8>>)> = redis::cmd("XRANGE")
                .arg(&log)
                .arg(stream_id(at))
                .arg("+")
                .arg("COUNT")
                .arg(count)
                .query_async(&mut connection)
                .await
                .map_err(sort)?;
            has_more = entries.len() == count;
            for (id, mut fields) in entries {
                let Some(seq) = seq_of(&id) else {
                    continue;
                };
                at = seq + 1;
                // An entry of another make is missing, as a damaged one is.
                let record = fields.remove("r").unwrap_or_default();
                bytes += record.len();
                stored.push((seq, record));
            }
        }
        let mut page = Page::collect(from, stored.into_iter());
        page.next = has_more.then_some(at);
        Ok(page)
    }

    pub(crate) async fn claim(
        &self,
        key: &CallKey,
        owner: &str,
        ttl_ms: u64,
    ) -> Result<Claimed, ClaimError> {
        let mut connection = self.connection().await?;
        let claim = &self.shared.claim;
        let answer: Result<(i64, u64), _> = claim
            .key(self.call_key(key.as_str()))
            .arg(owner)
            .arg(ttl_ms)
            .invoke_async(&mut connection)
            .await;
        let (result, generation) = answer.map_err(sort)?;
        if result == 0 {
            return Err(ClaimError::Unknown);
        }
        if result == 1 {
            return Err(ClaimError::Ended);
        }
        let Some(call) = self.call(key).await? else {
            return Err(ClaimError::Unknown);
        };
        if result == 2 {
            return Err(ClaimError::Held { lease: call.lease });
        }
        let CallSummary {
            key,
            room,
            agent,
            config_hash,
            opened_unix_ms,
            next_seq,
            bytes,
            ..
        } = call;
        let call = NewCall {
            key,
            room,
            agent,
            config_hash,
            opened_unix_ms,
        };
        Ok(Claimed {
            call,
            generation,
            next_seq,
            bytes,
        })
    }

    pub(crate) async fn sweep(&self, now_unix_ms: u64) -> Result<usize, StoreError> {
        let mut connection = self.connection().await?;
        let Retention {
            ended,
            abandoned,
            ended_calls_max,
        } = &self.shared.retention;
        let mut expired: Vec<String> = Vec::new();
        for (set, kept) in [("ended", ended), ("open", abandoned)] {
            let until = now_unix_ms.saturating_sub(millis(*kept));
            let found: Vec<String> = redis::cmd("ZRANGEBYSCORE")
                .arg(self.key(set))
                .arg("-inf")
                .arg(format!("({until}"))
                .arg("LIMIT")
                .arg(0)
                .arg(SWEPT_CALLS_MAX)
                .query_async(&mut connection)
                .await
                .map_err(sort)?;
            expired.extend(found);
        }
        // Ranks count from the newest end: what lies behind the last kept one goes.
        let last_surplus = -1 - i64::try_from(*ended_calls_max).unwrap_or(i64::MAX - 1);
        let surplus: Vec<String> = redis::cmd("ZRANGE")
            .arg(self.key("ended"))
            .arg(0)
            .arg(last_surplus)
            .query_async(&mut connection)
            .await
            .map_err(sort)?;
        expired.extend(surplus);
        expired.sort();
        expired.dedup();
        for keys in expired.chunks(CALLS_PER_TRIP) {
            let mut pipeline = Pipeline::with_capacity(keys.len());
            for key in keys {
                pipeline
                    .unlink(&[self.call_key(key), self.log_key(key)])
                    .ignore();
                pipeline.zrem(self.key("open"), key).ignore();
                pipeline.zrem(self.key("ended"), key).ignore();
            }
            pipeline
                .query_async::<()>(&mut connection)
                .await
                .map_err(sort)?;
        }
        Ok(expired.len())
    }

    fn client(&self) -> Result<Client, StoreError> {
        let RedisConfig {
            host,
            port,
            username,
            password,
            database,
            tls,
            prefix: _,
            response_timeout: _,
        } = &self.shared.config;
        let address = if *tls {
            // The client takes the process's provider, and panics where there are several and none was chosen.
            if rustls::crypto::CryptoProvider::get_default().is_none() {
                // Somebody else was quicker, and chose one.
                let _ = rustls::crypto::ring::default_provider().install_default();
            }
            ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host.clone(), *port)
        };
        let mut settings = RedisConnectionInfo::default().set_db(*database);
        if let Some(username) = username {
            settings = settings.set_username(username);
        }
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        let info = address
            .into_connection_info()
            .map_err(sort)?
            .set_redis_settings(settings);
        Client::open(info).map_err(sort)
    }

    /// The connection; cheap to clone, and shared by all.
    async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        let slot = self.shared.connection.lock().await;
        slot.clone().ok_or_else(|| StoreError::Unreachable {
            what: "there is no connection".to_owned(),
        })
    }

    fn invocation<'a>(&'a self, writer: &Writer, ops: &[&Op]) -> redis::ScriptInvocation<'a> {
        let NewCall {
            key,
            room,
            agent,
            config_hash,
            opened_unix_ms,
        } = &writer.call;
        let (mut lease, mut epoch, mut last, mut ended) = (-1_i64, 0, *opened_unix_ms, -1_i64);
        let mut lines: Vec<&Line> = Vec::with_capacity(ops.len());
        for op in ops {
            match &op.action {
                Action::Append(line) => {
                    epoch = epoch.max(line.epoch);
                    last = last.max(line.unix_ms);
                    if line.ends_call && ended < 0 {
                        ended = i64::try_from(line.unix_ms).unwrap_or(i64::MAX);
                    }
                    lines.push(line);
                }
                Action::Lease {
                    now_unix_ms,
                    ttl_ms,
                } => {
                    if *ttl_ms > 0 {
                        last = last.max(*now_unix_ms);
                    }
                    lease = i64::try_from(*ttl_ms).unwrap_or(i64::MAX);
                }
            }
        }
        let mut invocation = self.shared.commit.prepare_invoke();
        invocation
            .key(self.call_key(key.as_str()))
            .key(self.log_key(key.as_str()))
            .key(self.key("open"))
            .key(self.key("ended"));
        invocation
            .arg(key.as_str())
            .arg(&writer.owner)
            .arg(writer.generation);
        invocation
            .arg(room)
            .arg(agent)
            .arg(config_hash)
            .arg(opened_unix_ms);
        invocation
            .arg(millis(self.shared.retention.abandoned))
            .arg(millis(self.shared.retention.ended));
        invocation.arg(lease).arg(epoch).arg(last).arg(ended);
        for line in lines {
            invocation
                .arg(line.seq)
                .arg(stream_id(line.seq))
                .arg(line.stored.as_ref());
        }
        invocation
    }

    fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.shared.config.prefix)
    }

    fn call_key(&self, key: &str) -> String {
        self.key(&format!("call:{key}"))
    }

    fn log_key(&self, key: &str) -> String {
        self.key(&format!("log:{key}"))
    }
}

/// A record's place in its stream. Redis has no place 0-0, so they start at 1.
fn stream_id(seq: u64) -> String {
    format!("{}-0", seq.saturating_add(1))
}

fn seq_of(id: &str) -> Option<u64> {
    let (place, _) = id.split_once('-')?;
    place.parse::<u64>().ok()?.checked_sub(1)
}

/// `None` for a hash that is gone, or not ours.
fn summary(hash: &HashMap<String, String>) -> Option<CallSummary> {
    let text = |field: &str| hash.get(field).cloned().unwrap_or_default();
    let number = |field: &str| hash.get(field).and_then(|value| value.parse::<u64>().ok());
    Some(CallSummary {
        key: CallKey::new(hash.get("key")?).ok()?,
        room: text("room"),
        agent: text("agent"),
        config_hash: text("config"),
        opened_unix_ms: number("opened")?,
        last_unix_ms: number("last").unwrap_or_default(),
        ended_unix_ms: number("ended"),
        next_seq: number("next")?,
        records: number("records").unwrap_or_default(),
        bytes: number("bytes").unwrap_or_default(),
        epoch: number("epoch").unwrap_or_default(),
        lease: Lease {
            owner: text("owner"),
            generation: number("generation")?,
            until_unix_ms: number("until").unwrap_or_default(),
        },
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn unexpected(what: &str) -> StoreError {
    StoreError::Failed {
        what: what.to_owned(),
    }
}

fn sort(error: RedisError) -> StoreError {
    let what = error.to_string();
    let code = error.code().map(str::to_owned).or_else(|| {
        let of_pipeline = error.clone().into_server_errors()?;
        of_pipeline
            .first()
            .map(|(_, first)| first.code().to_owned())
    });
    match code.as_deref() {
        Some("OOM" | "MISCONF") => return StoreError::Full { what },
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => return StoreError::Denied { what },
        Some(_) | None => {}
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => StoreError::Denied { what },
        ErrorKind::Io => StoreError::Unreachable { what },
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain,
        ) => StoreError::Unreachable { what },
        _ => StoreError::Failed { what },
    }
}

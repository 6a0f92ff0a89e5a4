//! `baton doctor`: why a call does not reach Baton, or a specialist. It looks at the server, the clocks, the Baton on this
//! machine, the SIP dispatch rules and, if it is asked to, one room; it changes nothing, and no call uses it.

mod diagnose;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use jiff::fmt::rfc2822;
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::RoomClient;
use livekit_api::services::sip::{ListSIPDispatchRuleFilter, SIPClient};
use livekit_api::services::{ServerError, ServiceError};
use livekit_protocol::{JobStatus, ParticipantInfo, TrackType, participant_info};
use livekit_token::{AccessToken, VideoGrants};
use reqwest::{Client, StatusCode};
use serde_json::Value;

use self::diagnose::{
    Dispatch, Finding, Kind, Level, Person, Room, Rule, Seen, Server, Sip, Worker, diagnose,
};
use crate::clock;
use crate::config::{Config, Connection};

/// The longest that one question may take.
const ASK_MAX: Duration = Duration::from_secs(5);
/// Dispatch rules and participants that are looked at.
const LISTED_MAX: usize = 1_000;
/// The largest health page.
const PAGE_BYTES_MAX: usize = 64 << 10;

/// What was found; its `Display` is the whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis(Vec<Finding>);

impl Diagnosis {
    /// Whether anything keeps a call from going as it should.
    pub fn is_ill(&self) -> bool {
        self.0.iter().any(|finding| finding.level == Level::Wrong)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| finding.fmt(f))
    }
}

/// Looks at everything.
///
/// # Errors
/// When there is no HTTP client to be had.
pub async fn examine(
    config: &Config,
    connection: &Connection,
    room: Option<&str>,
) -> Result<Diagnosis, reqwest::Error> {
    let http = &Client::builder().build()?;
    let specialists = config.call.specialists.values();
    let canaries = config
        .call
        .specialists
        .values()
        .filter_map(|specialist| specialist.canary.as_ref());
    let mut seen = Seen {
        url: connection.url.clone(),
        agent_name: connection.agent_name.clone(),
        health_at: config.server.health_bind.to_string(),
        specialists: specialists
            .map(|specialist| &specialist.agent_name)
            .chain(canaries.map(|canary| &canary.agent_name))
            .map(ToString::to_string)
            .collect(),
        worker: Some(look_at_worker(http, config).await),
        ..Seen::default()
    };
    let (host, key, secret) = (
        http_url(&connection.url),
        connection.api_key.as_str(),
        connection.api_secret.expose(),
    );
    let rooms = RoomClient::with_api_key(&host, key, secret).with_request_timeout(ASK_MAX);
    let server = look_at_server(http, &host, key, secret).await;
    let answers = server == Server::Answers;
    seen.skew_secs = skew_secs(http, &host).await;
    seen.server = Some(server);
    if answers {
        let sip = SIPClient::with_api_key(&host, key, secret).with_request_timeout(ASK_MAX);
        seen.sip = Some(look_at_sip(&sip).await);
        if let Some(name) = room {
            let dispatches =
                AgentDispatchClient::with_api_key(&host, key, secret).with_request_timeout(ASK_MAX);
            match look_at_room(&rooms, &dispatches, name).await {
                Ok(room) => seen.room = Some(room),
                Err(error) => seen.server = Some(Server::Failing { why: said(&error) }),
            }
        }
    }
    Ok(Diagnosis(diagnose(&seen)))
}

/// Asks by itself: the SDK's client does not tell a refused key from an answer that it cannot read.
async fn look_at_server(http: &Client, host: &str, key: &str, secret: &str) -> Server {
    let grants = VideoGrants {
        room_list: true,
        ..VideoGrants::default()
    };
    let token = match AccessToken::with_api_key(key, secret)
        .with_grants(grants)
        .to_jwt()
    {
        Ok(token) => token,
        Err(error) => {
            let why = error.to_string();
            return Server::Failing { why };
        }
    };
    // A room that there is not: the answer is short.
    let asked = http
        .post(format!("{host}/twirp/livekit.RoomService/ListRooms"))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(r#"{"names":["baton-doctor"]}"#)
        .timeout(ASK_MAX)
        .send()
        .await;
    match asked.map(|answer| answer.status()) {
        Ok(status) if status.is_success() => Server::Answers,
        Ok(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Server::KeyRefused,
        Ok(status) => Server::Failing {
            why: format!("it says {status}"),
        },
        Err(error) => Server::Unreachable { why: root(&error) },
    }
}

async fn skew_secs(http: &Client, host: &str) -> Option<u64> {
    let response = http.get(host).timeout(ASK_MAX).send().await.ok()?;
    let date = response.headers().get("date")?.to_str().ok()?;
    let theirs = rfc2822::parse(date).ok()?.timestamp().as_second();
    let ours = i64::try_from(clock::unix_ms() / 1_000).ok()?;
    Some(ours.abs_diff(theirs))
}

async fn look_at_worker(http: &Client, config: &Config) -> Worker {
    let mut at = config.server.health_bind;
    if at.ip().is_unspecified() {
        at.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let Ok(healthy) = http
        .get(format!("http://{at}/"))
        .timeout(ASK_MAX)
        .send()
        .await
    else {
        return Worker::Absent;
    };
    let registered = healthy.status().is_success();
    let page = async {
        let mut response = http
            .get(format!("http://{at}/worker"))
            .timeout(ASK_MAX)
            .send()
            .await
            .ok()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            if body.len() + chunk.len() > PAGE_BYTES_MAX {
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        let page: Value = serde_json::from_slice(&body).ok()?;
        Some(Worker::There {
            agent_name: page["agent_name"].as_str()?.to_owned(),
            registered,
            load: page["worker_load"].as_f64()?,
            active: page["active_jobs"].as_u64()?,
            max: page["max_jobs"].as_u64()?,
            draining: page["draining"].as_bool()?,
        })
    };
    page.await.unwrap_or(Worker::Stranger)
}

async fn look_at_sip(sip: &SIPClient) -> Sip {
    match sip
        .list_sip_dispatch_rule(ListSIPDispatchRuleFilter::All)
        .await
    {
        Ok(rules) => Sip::Rules(
            rules
                .into_iter()
                .take(LISTED_MAX)
                .map(|rule| Rule {
                    id: rule.sip_dispatch_rule_id,
                    agents: rule
                        .room_config
                        .into_iter()
                        .flat_map(|room| room.agents)
                        .map(|agent| agent.agent_name)
                        .collect(),
                })
                .collect(),
        ),
        Err(error) => Sip::Unavailable { why: said(&error) },
    }
}

async fn look_at_room(
    rooms: &RoomClient,
    dispatches: &AgentDispatchClient,
    name: &str,
) -> Result<Room, ServiceError> {
    if rooms.list_rooms(vec![name.to_owned()]).await?.is_empty() {
        return Ok(Room::Absent {
            name: name.to_owned(),
        });
    }
    let people = rooms.list_participants(name).await?;
    let listed = dispatches.list_dispatch(name).await?;
    let mut jobs = Vec::new();
    let mut known = Vec::new();
    for dispatch in listed.into_iter().take(LISTED_MAX) {
        let state = dispatch.state.unwrap_or_default();
        if state.deleted_at != 0 {
            continue;
        }
        let states = || state.jobs.iter().filter_map(|job| job.state.as_ref());
        known.extend(states().map(|job| job.participant_identity.clone()));
        let failed = states()
            .find(|job| job.status() == JobStatus::JsFailed)
            .map(|job| job.error.clone());
        jobs.push(Dispatch {
            agent_name: dispatch.agent_name,
            jobs: state.jobs.len(),
            failed,
        });
    }
    let people = people
        .into_iter()
        .take(LISTED_MAX)
        .map(|person| seen_person(person, &known));
    Ok(Room::There {
        name: name.to_owned(),
        people: people.collect(),
        dispatches: jobs,
    })
}

fn seen_person(person: ParticipantInfo, known: &[String]) -> Person {
    let kind = match person.kind() {
        participant_info::Kind::Sip | participant_info::Kind::Standard => Kind::Caller,
        participant_info::Kind::Agent => Kind::Agent,
        _ => Kind::Other,
    };
    let audio = person
        .tracks
        .iter()
        .filter(|track| track.r#type() == TrackType::Audio);
    Person {
        audio_tracks: audio.count(),
        by_baton: known.contains(&person.identity),
        identity: person.identity,
        kind,
    }
}

fn said(error: &ServiceError) -> String {
    match error {
        ServiceError::Twirp(ServerError::Twirp(error)) => error.to_string(),
        ServiceError::Twirp(ServerError::Request(error)) => root(error),
        error => error.to_string(),
    }
}

/// The innermost cause, which says more than those around it.
fn root(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn http_url(url: &str) -> String {
    match url.trim_end_matches('/').strip_prefix("ws") {
        Some(rest) => format!("http{rest}"),
        None => url.to_owned(),
    }
}

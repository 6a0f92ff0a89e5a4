//! Access tokens: who joins which room as what, and the admin's.

use std::collections::BTreeMap;
use std::time::Duration;

use livekit_protocol::{RoomAgentDispatch, RoomConfiguration};
use livekit_token::{AccessToken, AccessTokenError, VideoGrants};

/// How long a token lives: longer than any test.
const TTL: Duration = Duration::from_secs(6 * 3_600);

/// What a participant is to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A person on the web.
    #[default]
    Standard,
    /// A phone call, as LiveKit's SIP bridge joins.
    Sip,
    /// An agent.
    Agent,
}

/// A token to join one room, by parts.
#[derive(Clone, Debug, Default)]
pub struct JoinToken {
    room: String,
    identity: String,
    kind: Kind,
    metadata: String,
    attributes: BTreeMap<String, String>,
    agents: Vec<RoomAgentDispatch>,
    hidden: bool,
}

impl Kind {
    fn claim(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Sip => "sip",
            Self::Agent => "agent",
        }
    }
}

impl JoinToken {
    /// Joins `room` as `identity`, of kind standard, with the rights to publish and subscribe.
    pub fn new(room: &str, identity: &str) -> Self {
        Self {
            room: room.to_owned(),
            identity: identity.to_owned(),
            ..Self::default()
        }
    }

    /// Joins as LiveKit's SIP bridge does for a call from `phone_number`: its kind, its identity and
    /// its `sip.*` attributes.
    pub fn sip_caller(room: &str, phone_number: &str) -> Self {
        let attributes = [
            ("sip.callID", "SCL_test"),
            ("sip.callIDFull", "test@127.0.0.1"),
            ("sip.callStatus", "ringing"),
            ("sip.callTag", "test"),
            ("sip.hostname", "127.0.0.1"),
            ("sip.phoneNumber", phone_number),
            ("sip.ruleID", "SDR_test"),
            ("sip.trunkID", "ST_test"),
            ("sip.trunkPhoneNumber", "+15550100"),
        ];
        let caller = Self::new(room, &format!("sip_{phone_number}")).kind(Kind::Sip);
        attributes
            .into_iter()
            .fold(caller, |caller, (key, value)| caller.attribute(key, value))
    }

    /// Joins as a participant of this kind.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Gives the participant metadata.
    pub fn metadata(mut self, metadata: &str) -> Self {
        metadata.clone_into(&mut self.metadata);
        self
    }

    /// The attributes that the participant joins with.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Gives the participant an attribute, in place of one of the same key.
    pub fn attribute(mut self, key: &str, value: &str) -> Self {
        self.attributes.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Has this agent dispatched if the room is created by this join.
    pub fn dispatch(mut self, agent_name: &str, metadata: &str) -> Self {
        self.agents.push(RoomAgentDispatch {
            agent_name: agent_name.to_owned(),
            metadata: metadata.to_owned(),
            ..Default::default()
        });
        self
    }

    /// Joins without anybody being told.
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The token, signed.
    ///
    /// # Errors
    /// When the key, the secret, the room or the identity is empty.
    pub fn sign(&self, api_key: &str, api_secret: &str) -> Result<String, AccessTokenError> {
        let Self {
            room,
            identity,
            kind,
            metadata,
            attributes,
            agents,
            hidden,
        } = self;
        let grants = VideoGrants {
            room_join: true,
            room: room.clone(),
            can_update_own_metadata: Some(true),
            agent: matches!(kind, Kind::Agent),
            hidden: *hidden,
            ..VideoGrants::default()
        };
        let mut access = AccessToken::with_api_key(api_key, api_secret)
            .with_ttl(TTL)
            .with_identity(identity)
            .with_kind(kind.claim())
            .with_metadata(metadata)
            .with_attributes(attributes)
            .with_grants(grants);
        if !agents.is_empty() {
            let agents = agents.clone();
            access = access.with_room_config(RoomConfiguration {
                agents,
                ..Default::default()
            });
        }
        access.to_jwt()
    }
}

/// A token with every right in `room`, and to create and list rooms: for the server's API.
///
/// # Errors
/// When the key or the secret is empty.
pub fn admin(api_key: &str, api_secret: &str, room: &str) -> Result<String, AccessTokenError> {
    let grants = VideoGrants {
        room_create: true,
        room_list: true,
        room_admin: true,
        room: room.to_owned(),
        ..VideoGrants::default()
    };
    AccessToken::with_api_key(api_key, api_secret)
        .with_ttl(TTL)
        .with_grants(grants)
        .to_jwt()
}

//! How loud who is in a call, for a picture that moves.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Access, Admin, AdminError};

/// How loud who is. It is measured while somebody asks, and for 3 s after that: the first answer has no voices.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LevelsView {
    /// When it was measured, in milliseconds since 1970; absent before it was.
    pub unix_ms: Option<u64>,
    /// Who is not silent.
    pub voices: Vec<VoiceLevel>,
}

/// How loud a voice is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct VoiceLevel {
    /// `caller`, or the specialist's name in the configuration.
    pub who: String,
    /// The loudest 10 ms of 100, in dB below full scale: from -100 to 0.
    pub dbfs: f32,
}

impl Admin {
    /// How loud the caller and the specialists are that Baton listens to.
    ///
    /// # Errors
    /// When there is no such call, or the visitor may not see it.
    pub fn levels(&self, access: &Access, id: &str) -> Result<LevelsView, AdminError> {
        let call = self.seen(access, id)?;
        let snapshot = &call.snapshot;
        let levels = self.desk.levels(&snapshot.call);
        let levels = levels.ok_or_else(|| AdminError::NoCall { id: id.to_owned() })?;
        let voices = levels.voices.into_iter().filter_map(|(identity, dbfs)| {
            let caller = snapshot.caller.as_ref();
            let who = if caller.is_some_and(|caller| caller.identity == identity) {
                "caller".to_owned()
            } else {
                let mut specialists = snapshot.specialists.values();
                let found = specialists.find(|view| view.identity.as_ref() == Some(&identity))?;
                found.specialist.to_string()
            };
            Some(VoiceLevel { who, dbfs })
        });
        Ok(LevelsView {
            unix_ms: Some(levels.unix_ms).filter(|&at| at > 0),
            voices: voices.collect(),
        })
    }
}

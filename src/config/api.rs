//! Where operators see and steer calls, and by which token.

use std::{net::SocketAddr, path::PathBuf};

use worker::Secret;

use super::{option::Refusal, reader::Section, server::BIND_FORM};

/// The shortest token that is taken from a file.
const TOKEN_BYTES_MIN: usize = 16;

/// The part `api`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Api {
    /// Where the interface answers; nowhere without it.
    pub bind: Option<SocketAddr>,
    /// A file with the operator's token.
    pub token_file: Option<PathBuf>,
}

/// Why there is no operator's token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the operator's token from `{path}` (`api.token_file`)")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The token could be guessed.
    #[error(
        "the token in `{path}` (`api.token_file`) has {bytes} bytes, at least {TOKEN_BYTES_MIN} are needed"
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Its length without the white space around it.
        bytes: usize,
    },
}

impl Api {
    /// The operator's token, if the configuration names one.
    ///
    /// # Errors
    /// When the file cannot be read, or its token is too short to keep anybody out.
    pub fn token(&self) -> Result<Option<Secret>, TokenError> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(path).map_err(|source| TokenError::File {
            path: path.clone(),
            source,
        })?;
        let token = text.trim();
        if token.len() < TOKEN_BYTES_MIN {
            return Err(TokenError::TooShort {
                path: path.clone(),
                bytes: token.len(),
            });
        }
        Ok(Some(Secret::new(token.to_owned())))
    }
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Api {
    section.forbid(
        "token",
        "credentials are never read from this file",
        "name a file that holds it: `token_file`",
    );
    Api {
        bind: section.parsed("bind", BIND_FORM, None, |text| {
            text.parse().map_err(|_| {
                Refusal::new(format!("expected {BIND_FORM}, found `{text}`"))
                    .help("127.0.0.1:8080 answers on this machine only, 0.0.0.0:8080 on all of its networks")
            })
        }),
        token_file: section
            .text("token_file", "the path of a file")
            .map(PathBuf::from),
    }
}

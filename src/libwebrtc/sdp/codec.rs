//! Codecs: what this engine offers, and what goes with what.

/// A codec, and the numbers that it has in a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Codec {
    pub(crate) payload_type: u8,
    pub(crate) name: String,
    pub(crate) clock_rate: u32,
    pub(crate) channels: Option<u8>,
    /// The parameters as SDP writes them; empty for none.
    pub(crate) parameters: String,
    /// The feedback that is understood, such as `nack pli`.
    pub(crate) feedback: Vec<String>,
}

const AUDIO_FEEDBACK: &[&str] = &["transport-cc"];
const VIDEO_FEEDBACK: &[&str] = &["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"];

/// Payload type, name, clock rate, channels, parameters, feedback.
type Row = (
    u8,
    &'static str,
    u32,
    Option<u8>,
    &'static str,
    &'static [&'static str],
);

const AUDIO: &[Row] = &[
    (
        111,
        "opus",
        48_000,
        Some(2),
        "minptime=10;useinbandfec=1",
        AUDIO_FEEDBACK,
    ),
    (63, "red", 48_000, Some(2), "111/111", &[]),
];

const VIDEO: &[Row] = &[
    (96, "VP8", 90_000, None, "", VIDEO_FEEDBACK),
    (97, "rtx", 90_000, None, "apt=96", &[]),
    (
        108,
        "H264",
        90_000,
        None,
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        VIDEO_FEEDBACK,
    ),
    (109, "rtx", 90_000, None, "apt=108", &[]),
    (98, "VP9", 90_000, None, "profile-id=0", VIDEO_FEEDBACK),
    (99, "rtx", 90_000, None, "apt=98", &[]),
    (45, "AV1", 90_000, None, "", VIDEO_FEEDBACK),
    (46, "rtx", 90_000, None, "apt=45", &[]),
];

impl Codec {
    /// The audio codecs of this engine, with the numbers that it prefers.
    pub(crate) fn audio() -> Vec<Codec> {
        AUDIO.iter().map(Self::from_row).collect()
    }

    /// The video codecs of this engine, with the numbers that it prefers. They are negotiated only.
    pub(crate) fn video() -> Vec<Codec> {
        VIDEO.iter().map(Self::from_row).collect()
    }

    fn from_row(&(payload_type, name, clock_rate, channels, parameters, feedback): &Row) -> Self {
        Self {
            payload_type,
            name: name.to_owned(),
            clock_rate,
            channels,
            parameters: parameters.to_owned(),
            feedback: feedback.iter().map(|&line| line.to_owned()).collect(),
        }
    }

    /// Whether it is called that.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether it only carries other codecs again.
    pub(crate) fn is_auxiliary(&self) -> bool {
        self.is("rtx") || self.is("red") || self.is("ulpfec") || self.is("flexfec-03")
    }

    /// A parameter by name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The payload type that this one carries again, for retransmission and redundancy.
    fn carries(&self) -> Option<u8> {
        if self.is("rtx") {
            return self.parameter("apt")?.parse().ok();
        }
        if self.is("red") {
            return self.parameters.split('/').next()?.trim().parse().ok();
        }
        None
    }

    /// Whether both are the same codec in a compatible form; numbers do not matter.
    fn matches(&self, other: &Codec) -> bool {
        if !self.is(&other.name) || self.clock_rate != other.clock_rate {
            return false;
        }
        if self.channels.unwrap_or(1) != other.channels.unwrap_or(1) {
            return false;
        }
        let same = |name, default| {
            self.parameter(name).unwrap_or(default) == other.parameter(name).unwrap_or(default)
        };
        if self.is("H264") {
            let profile = |codec: &Codec| {
                let id = codec
                    .parameter("profile-level-id")
                    .unwrap_or("42e01f")
                    .to_lowercase();
                id.get(..2).map(str::to_owned)
            };
            return same("packetization-mode", "0") && profile(self) == profile(other);
        }
        if self.is("VP9") {
            return same("profile-id", "0");
        }
        true
    }

    /// What both sides know of `remote`, in the order and with the numbers of `remote`, and with the parameters
    /// and feedback of `local`.
    pub(crate) fn intersect(local: &[Codec], remote: &[Codec]) -> Vec<Codec> {
        let mut common: Vec<Codec> = Vec::new();
        let plain = remote.iter().filter(|codec| !codec.is_auxiliary());
        for codec in plain {
            let Some(ours) = local.iter().find(|ours| ours.matches(codec)) else {
                continue;
            };
            common.push(Codec {
                payload_type: codec.payload_type,
                feedback: ours
                    .feedback
                    .iter()
                    .filter(|line| codec.feedback.contains(line))
                    .cloned()
                    .collect(),
                ..ours.clone()
            });
        }
        let carriers = remote
            .iter()
            .filter(|codec| codec.is_auxiliary())
            .filter(|codec| {
                local
                    .iter()
                    .any(|ours| ours.is(&codec.name) && ours.clock_rate == codec.clock_rate)
                    && codec.carries().is_some_and(|carried| {
                        common.iter().any(|codec| codec.payload_type == carried)
                    })
            });
        let carriers: Vec<Codec> = carriers.cloned().collect();
        common.extend(carriers.into_iter().map(|codec| Codec {
            feedback: Vec::new(),
            ..codec
        }));
        common.sort_by_key(|codec| {
            remote
                .iter()
                .position(|other| other.payload_type == codec.payload_type)
        });
        common
    }

    /// Keeps those that are named, and what carries them, in the order of `names`. All are kept when none is left.
    pub(crate) fn prefer(codecs: &[Codec], names: &[String]) -> Vec<Codec> {
        let mut chosen: Vec<Codec> = Vec::new();
        for name in names {
            for codec in codecs
                .iter()
                .filter(|codec| codec.is(name) && !codec.is_auxiliary())
            {
                if chosen.contains(codec) {
                    continue;
                }
                chosen.push(codec.clone());
                chosen.extend(
                    codecs
                        .iter()
                        .filter(|c| c.carries() == Some(codec.payload_type))
                        .cloned(),
                );
            }
        }
        if chosen.is_empty() {
            codecs.to_vec()
        } else {
            chosen
        }
    }

    /// Replaces preferred numbers by those that a remote offer has given to the same codecs, and moves the rest out
    /// of the way of numbers that are now taken.
    pub(crate) fn renumber(ours: &mut [Codec], remote: &[Codec]) {
        let old = ours.to_vec();
        let mut locked = vec![false; ours.len()];
        for (codec, locked) in ours.iter_mut().zip(&mut locked) {
            if codec.is_auxiliary() {
                continue;
            }
            if let Some(theirs) = remote.iter().find(|theirs| theirs.matches(codec)) {
                codec.payload_type = theirs.payload_type;
                *locked = true;
            }
        }
        let renumbered: Vec<(u8, u8)> = old
            .iter()
            .zip(ours.iter())
            .map(|(o, n)| (o.payload_type, n.payload_type))
            .collect();
        let new_number = |old: u8| {
            renumbered
                .iter()
                .find(|(from, _)| *from == old)
                .map_or(old, |(_, to)| *to)
        };
        for (codec, locked) in ours.iter_mut().zip(&mut locked) {
            let Some(carried) = codec.carries().map(new_number) else {
                continue;
            };
            codec.parameters = match codec.is("rtx") {
                true => format!("apt={carried}"),
                false => format!("{carried}/{carried}"),
            };
            let theirs = remote
                .iter()
                .find(|c| c.is(&codec.name) && c.carries() == Some(carried));
            if let Some(theirs) = theirs {
                codec.payload_type = theirs.payload_type;
                *locked = true;
            }
        }
        let mut taken: Vec<u8> = remote.iter().map(|codec| codec.payload_type).collect();
        for index in 0..ours.len() {
            if !locked[index] {
                let number = ours[index].payload_type;
                if taken.contains(&number) {
                    let free = (96..=127).chain(35..=63).find(|free| {
                        !taken.contains(free) && ours.iter().all(|c| c.payload_type != *free)
                    });
                    if let Some(free) = free {
                        let is_plain = !ours[index].is_auxiliary();
                        ours[index].payload_type = free;
                        for other in ours.iter_mut().filter(|_| is_plain) {
                            if other.carries() == Some(number) {
                                other.parameters = match other.is("rtx") {
                                    true => format!("apt={free}"),
                                    false => format!("{free}/{free}"),
                                };
                            }
                        }
                    }
                }
            }
            taken.push(ours[index].payload_type);
        }
    }
}

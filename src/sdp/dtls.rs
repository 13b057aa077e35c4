//! DTLS-SRTP in a description, and the ICE that goes with it: RFC 5763 §5, RFC 8842 §5.
//!
//! Choices where the RFCs leave one:
//! - `actpass` is answered `passive`, though `active` is advised (RFC 5763 §5): it is for the sake of those who may be behind
//!   a NAT, whom nothing of ours reaches before something of theirs came. A browser begins as soon as its checks pass.
//! - An association lasts while their fingerprints stay and the roles may (RFC 8842 §4). New ICE credentials of theirs are a
//!   restart (RFC 8839 §4.4.1.1.1), and ours are new then too; the association outlives it.
//! - RTP and RTCP share a port, as browsers do: a second association for RTCP alone is not made.

use std::net::IpAddr;

use mixer::srtp;

use crate::sdp::ice::{self, Agent};
use crate::sdp::plan::Refusal;
use crate::sdp::session::{Media, Session};
use crate::webrtc::{Association, Fingerprint, Remote, Role};

/// Our side of DTLS-SRTP (`media.dtls`).
#[derive(Clone, Debug, PartialEq)]
pub struct DtlsPolicy {
    /// Of our certificate.
    pub fingerprint: Fingerprint,
    /// Whether our own offers are so, with ICE: the far side is a browser.
    pub offers: bool,
}

/// Who may begin (RFC 4145 §4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Setup {
    Active,
    Passive,
    ActPass,
}

impl Setup {
    fn parse(value: &str) -> Option<Self> {
        let known = [Self::Active, Self::Passive, Self::ActPass];
        known.into_iter().find(|setup| setup.name().eq_ignore_ascii_case(value))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
        }
    }

    /// How an answer says this role of ours.
    pub(super) fn of(role: Role) -> Self {
        match role {
            Role::Client => Self::Active,
            Role::Server => Self::Passive,
        }
    }

    /// Our role where this is theirs.
    fn role(self) -> Role {
        match self {
            Self::Active | Self::ActPass => Role::Server,
            Self::Passive => Role::Client,
        }
    }

    fn allows(self, role: Role) -> bool {
        self == Self::ActPass || self.role() == role
    }
}

/// What an m-line of theirs says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Theirs {
    fingerprints: Vec<Fingerprint>,
    setup: Setup,
    pub(super) ice: Option<Remote>,
    /// RFC 8842 §4: names an association.
    tls_id: Option<String>,
}

impl Theirs {
    /// Reads an m-line; what it does not say itself, the session may. We are at `ours`.
    pub(super) fn read(session: &Session, media: &Media, ours: IpAddr) -> Result<Self, Refusal> {
        let first = |name| {
            let own = media.attributes(name).next();
            own.or_else(|| session.attributes(name).next())
        };
        let own = media.attributes("fingerprint");
        let all = own.chain(session.attributes("fingerprint")).take(FINGERPRINTS_MAX);
        let fingerprints: Vec<Fingerprint> = all.filter_map(Fingerprint::parse).collect();
        if fingerprints.is_empty() {
            return Err(Refusal::NoFingerprint);
        }
        if !media.rtcp_mux() {
            return Err(Refusal::NoMux);
        }
        let setup = first("setup").map_or(Some(Setup::Active), Setup::parse);
        Ok(Self {
            fingerprints,
            setup: setup.ok_or(Refusal::Setup)?,
            ice: ice::read(session, media, ours),
            tls_id: first("tls-id").map(str::to_owned),
        })
    }

    /// Whether this description speaks of it at all.
    pub(super) fn is_there(session: &Session, media: &Media) -> bool {
        let mut own = media.attributes("fingerprint").chain(session.attributes("fingerprint"));
        own.any(|value| Fingerprint::parse(value).is_some())
    }
}

/// What stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    pub(super) association: Association,
    theirs: Theirs,
}

impl Standing {
    /// What they say now makes of what stood; `ours` is there if both do ICE, `next` is the number of another association.
    pub(super) fn after(
        before: Option<&Self>,
        theirs: &Theirs,
        ours: Option<Agent>,
        next: u32,
    ) -> Self {
        let lasts = |before: &&Self| {
            before.theirs.fingerprints == theirs.fingerprints
                && before.theirs.tls_id == theirs.tls_id
                && theirs.setup.allows(before.association.role)
        };
        let kept = before.filter(lasts).map(|before| &before.association);
        let (number, role) = match kept {
            Some(kept) => (kept.number, kept.role),
            None => (next, theirs.setup.role()),
        };
        let fingerprints = theirs.fingerprints.clone();
        let ice = ours.zip(theirs.ice.as_ref()).map(|(ours, theirs)| ours.meets(theirs));
        let association = Association { number, role, fingerprints, ice };
        Self { association, theirs: theirs.clone() }
    }

    /// What we offer while it stands.
    pub(super) fn again(&self) -> Ours {
        Ours { ice: self.agent() }
    }

    /// Our agent.
    pub(super) fn agent(&self) -> Option<Agent> {
        self.association.ice.as_ref().map(Agent::of)
    }

    /// Whether their agent is the same, not begun anew.
    pub(super) fn goes_on(&self, theirs: &Theirs) -> bool {
        let credentials = |theirs: &Theirs| theirs.ice.clone().map(|ice| ice.credentials);
        credentials(&self.theirs) == credentials(theirs)
    }
}

/// How the media of an m-line is protected.
#[derive(Clone, Debug)]
pub(super) enum Protection<C> {
    /// Not at all.
    Clear,
    /// By a key in a line of its own.
    Sdes(C),
    /// By keys that are yet to be made.
    Dtls(Theirs),
}

impl<C> Protection<C> {
    pub(super) fn sdes(&self) -> Option<&C> {
        match self {
            Self::Sdes(crypto) => Some(crypto),
            Self::Clear | Self::Dtls(_) => None,
        }
    }

    pub(super) fn dtls(&self) -> Option<&Theirs> {
        match self {
            Self::Dtls(theirs) => Some(theirs),
            Self::Clear | Self::Sdes(_) => None,
        }
    }
}

/// What we offer.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    /// With ICE, unless they do not do it.
    pub(super) ice: Option<Agent>,
}

/// What our m-line says of it.
pub(super) struct Lines<'a> {
    pub(super) fingerprint: &'a Fingerprint,
    pub(super) setup: Setup,
    pub(super) ice: Option<&'a Agent>,
}

/// What is agreed, of either kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreed {
    pub(super) srtp: Option<srtp::Keys>,
    pub(super) dtls: Option<Box<Association>>,
}

/// Fingerprint lines that are read.
const FINGERPRINTS_MAX: usize = 8;

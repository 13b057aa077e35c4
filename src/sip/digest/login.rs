//! How we answer the challenges of others: RFC 3261 §22.2 and §22.3, RFC 7616, RFC 8760.

use std::fmt;
use std::sync::Arc;

use super::Algorithm;
use crate::sip::headers::{Name, Param, quote};
use crate::sip::scan;
use crate::sip::{Message, StatusCode};

/// A name and a password that somebody else knows us by.
#[derive(Clone, Eq, PartialEq)]
pub struct Account {
    /// Our name there.
    pub username: String,
    /// Our password there.
    pub password: String,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("username", &self.username).finish_non_exhaustive()
    }
}

/// An account, and what was answered with it for one request so far.
#[derive(Clone, Debug)]
pub(in crate::sip) struct Login {
    account: Arc<Account>,
    /// Realms and the nonces that were answered, of origin servers and proxies on the way.
    answered: Vec<(String, String)>,
}

/// What a 401 or 407 wants to be answered.
#[derive(Debug)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// As it stood, if it did.
    algorithm: Option<String>,
    hash: Algorithm,
    /// RFC 2069 has none.
    has_qop: bool,
    is_stale: bool,
}

impl Login {
    pub(in crate::sip) fn new(account: Arc<Account>) -> Self {
        Self { account, answered: Vec::new() }
    }

    pub(in crate::sip) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Puts into a request what its challenges want; false if they cannot be answered, or were.
    pub(in crate::sip) fn answer(
        &mut self,
        request: &mut Message,
        response: &Message,
        cnonce: &str,
    ) -> bool {
        let (asks, answers) = match response.status() {
            Some(StatusCode::UNAUTHORIZED) => (Name::WwwAuthenticate, Name::Authorization),
            Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
                (Name::ProxyAuthenticate, Name::ProxyAuthorization)
            }
            _ => return false,
        };
        let mut challenges: Vec<Challenge> = Vec::new();
        // Of each realm the first that we know: they stand best first (RFC 8760 §2.4).
        for challenge in response.headers.all(&asks).filter_map(|value| Challenge::parse(value)) {
            if challenges.iter().all(|other| other.realm != challenge.realm) {
                challenges.push(challenge);
            }
        }
        if challenges.is_empty() || self.answered.len() + challenges.len() > MOST_ANSWERS {
            return false;
        }
        if challenges.iter().any(|challenge| !self.may_answer(challenge)) {
            return false;
        }
        let kept = headers_of_others(request, &answers, &challenges);
        request.headers.remove(&answers);
        for value in kept {
            request.headers.push(answers.clone(), value);
        }
        for challenge in challenges {
            let value = challenge.answer(&self.account, request, cnonce);
            request.headers.push(answers.clone(), value);
            self.answered.push((challenge.realm, challenge.nonce));
        }
        true
    }

    /// A realm that asks again does not take our password, unless it only wants a newer nonce answered.
    fn may_answer(&self, challenge: &Challenge) -> bool {
        let mut before = self.answered.iter().filter(|(realm, _)| *realm == challenge.realm);
        before.all(|(_, nonce)| challenge.is_stale && *nonce != challenge.nonce)
    }
}

/// What the request says already to other realms.
fn headers_of_others(request: &Message, name: &Name, challenges: &[Challenge]) -> Vec<String> {
    let is_other = |value: &String| {
        let realm = |challenge: &Challenge| format!("realm={}", quote(&challenge.realm));
        !challenges.iter().any(|challenge| value.contains(&realm(challenge)))
    };
    request.headers.all(name).map(|value| scan::text(value).into_owned()).filter(is_other).collect()
}

impl Challenge {
    /// Reads one challenge; `None` if it is of another scheme, or wants what we do not have.
    fn parse(value: &[u8]) -> Option<Self> {
        let (scheme, rest) = scan::trim(value).split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) || rest.first() != Some(&b' ') {
            return None;
        }
        let params: Vec<Param> = scan::split(rest, b',')
            .take(MOST_PARAMS)
            .map(Param::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        let find = |name: &str| {
            let param = params.iter().find(|param| param.name.eq_ignore_ascii_case(name))?;
            Some(scan::unquote(param.value.as_deref()?).into_owned())
        };
        let qop = find("qop");
        let offers_auth =
            |qop: &String| qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth"));
        if qop.as_ref().is_some_and(|qop| !offers_auth(qop)) {
            return None;
        }
        let algorithm = find("algorithm");
        Some(Self {
            realm: find("realm")?,
            nonce: find("nonce")?,
            opaque: find("opaque"),
            hash: algorithm.as_deref().map_or(Some(Algorithm::Md5), Algorithm::parse)?,
            algorithm,
            has_qop: qop.is_some(),
            is_stale: find("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// The value of the header: each nonce is used once, so its count is always one.
    fn answer(&self, account: &Account, request: &Message, cnonce: &str) -> String {
        let uri = request.uri().map_or("", |uri| uri.as_str());
        let method = request.method().map_or("", |method| method.as_str());
        let hash = self.hash;
        let secret = hash.hash(&[&account.username, &self.realm, &account.password]);
        let asked = hash.hash(&[method, uri]);
        let proof = if self.has_qop {
            hash.hash(&[&secret, &self.nonce, COUNT, cnonce, "auth", &asked])
        } else {
            hash.hash(&[&secret, &self.nonce, &asked])
        };
        let [username, realm, nonce] =
            [&account.username, &self.realm, &self.nonce].map(|text| quote(text));
        let algorithm = match &self.algorithm {
            Some(algorithm) => format!(", algorithm={algorithm}"),
            None => String::new(),
        };
        let qop = if self.has_qop {
            format!(", qop=auth, nc={COUNT}, cnonce=\"{cnonce}\"")
        } else {
            String::new()
        };
        let opaque = match &self.opaque {
            Some(opaque) => format!(", opaque={}", quote(opaque)),
            None => String::new(),
        };
        format!(
            "Digest username={username}, realm={realm}, nonce={nonce}, uri=\"{uri}\", \
             response=\"{proof}\"{algorithm}{qop}{opaque}"
        )
    }
}

const SCHEME: &str = "Digest";
/// RFC 7616 knows ten.
const MOST_PARAMS: usize = 32;
/// Challenges answered for one request: of an origin server, some proxies, and newer nonces of theirs.
const MOST_ANSWERS: usize = 8;
const COUNT: &str = "00000001";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Limits, Uri};

    fn asked(lines: &str, status: u16) -> Message {
        let text = format!(
            "SIP/2.0 {status} No\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=a\r\n\
             To: <sip:c@d>;tag=b\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        Message::parse(&text.into_bytes().into(), &Limits::default()).unwrap()
    }

    fn invite() -> Message {
        Message::request(crate::sip::Method::Invite, Uri::parse(b"sip:+49@carrier").unwrap())
    }

    fn login() -> Login {
        let (username, password) = ("alice".to_owned(), "secret".to_owned());
        Login::new(Arc::new(Account { username, password }))
    }

    fn values(request: &Message, name: &Name) -> Vec<String> {
        request.headers.all(name).map(|value| scan::text(value).into_owned()).collect()
    }

    #[test]
    fn what_we_answer_is_what_a_gate_expects() {
        use crate::sip::digest::Credentials;
        for algorithm in ["SHA-256", "SHA-512-256", "MD5"] {
            let lines = format!(
                "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", qop=\"auth\", algorithm={algorithm}\r\n"
            );
            let mut request = invite();

            assert!(login().answer(&mut request, &asked(&lines, 401), "cn"));

            let value = &values(&request, &Name::Authorization)[0];
            let said = Credentials::parse(value.as_bytes()).unwrap();
            assert_eq!(said.algorithm.name(), algorithm);
            let secret = said.algorithm.secret("alice", "c", "secret");
            assert_eq!(said.response, said.algorithm.response(&secret, "INVITE", &said));
        }
    }

    #[test]
    fn the_first_known_algorithm_of_each_realm_is_taken() {
        let lines = "WWW-Authenticate: Basic realm=\"c\"\r\n\
             WWW-Authenticate: Digest realm=\"c\", nonce=\"1\", algorithm=SHA-3\r\n\
             WWW-Authenticate: Digest realm=\"c\", nonce=\"2\", algorithm=SHA-256, opaque=\"o\"\r\n\
             WWW-Authenticate: Digest realm=\"c\", nonce=\"3\"\r\n\
             WWW-Authenticate: Digest realm=\"d\", nonce=\"4\", qop=\"auth-int,auth\"\r\n";
        let mut request = invite();

        assert!(login().answer(&mut request, &asked(lines, 401), "cn"));

        let values = values(&request, &Name::Authorization);
        assert_eq!(values.len(), 2);
        assert!(values[0].contains("nonce=\"2\"") && values[0].ends_with(", opaque=\"o\""));
        assert!(!values[0].contains("qop") && values[1].contains("qop=auth, nc=00000001"));
    }

    #[test]
    fn a_realm_that_asks_again_does_not_take_our_password() {
        let ask = |nonce: &str, more: &str| {
            let lines =
                format!("Proxy-Authenticate: Digest realm=\"c\", nonce=\"{nonce}\"{more}\r\n");
            asked(&lines, 407)
        };
        let (mut login, mut request) = (login(), invite());

        assert!(login.answer(&mut request, &ask("1", ""), "cn"));
        assert!(!login.answer(&mut request, &ask("2", ""), "cn"));
        assert!(!login.answer(&mut request, &ask("1", ", stale=true"), "cn"));
        assert!(login.answer(&mut request, &ask("2", ", stale=TRUE"), "cn"));
        assert_eq!(values(&request, &Name::ProxyAuthorization).len(), 1);
    }

    #[test]
    fn proxies_of_two_realms_are_both_answered() {
        let ask = |realm: &str| {
            asked(&format!("Proxy-Authenticate: Digest realm=\"{realm}\", nonce=\"n\"\r\n"), 407)
        };
        let (mut login, mut request) = (login(), invite());

        assert!(login.answer(&mut request, &ask("c"), "cn"));
        assert!(login.answer(&mut request, &ask("d"), "cn"));

        assert_eq!(values(&request, &Name::ProxyAuthorization).len(), 2);
    }

    #[test]
    fn what_cannot_be_answered_is_left() {
        for lines in [
            "",
            "WWW-Authenticate: Digest realm=\"c\"\r\n",
            "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", qop=\"auth-int\"\r\n",
            "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", algorithm=MD5-sess\r\n",
            "WWW-Authenticate: Bearer realm=\"c\"\r\n",
            "Proxy-Authenticate: Digest realm=\"c\", nonce=\"n\"\r\n",
        ] {
            assert!(!login().answer(&mut invite(), &asked(lines, 401), "cn"), "{lines}");
        }
    }
}

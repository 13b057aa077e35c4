//! Minimal SIP text handling, SDP, digest authentication.

use crate::codec::Codec;
use std::net::{Ipv4Addr, SocketAddrV4};

#[derive(Debug, Clone, Default)]
pub struct Msg {
    pub first: String,
    /// names in lower case, compact forms expanded, order kept
    pub headers: Vec<(String, String)>,
    pub body: String,
}

fn expand(n: &str) -> &str {
    match n {
        "v" => "via",
        "f" => "from",
        "t" => "to",
        "i" => "call-id",
        "m" => "contact",
        "l" => "content-length",
        "c" => "content-type",
        "k" => "supported",
        "s" => "subject",
        "e" => "content-encoding",
        o => o,
    }
}

impl Msg {
    pub fn parse(b: &[u8]) -> Option<Msg> {
        let t = std::str::from_utf8(b).ok()?;
        let (head, body) = match t.find("\r\n\r\n") {
            Some(i) => (&t[..i], &t[i + 4..]),
            None => (t, ""),
        };
        let mut lines = head.split("\r\n");
        let first = lines.next()?.trim().to_string();
        if !first.contains("SIP/2.0") {
            return None;
        }
        let mut headers: Vec<(String, String)> = Vec::with_capacity(16);
        for l in lines {
            if l.starts_with(' ') || l.starts_with('\t') {
                if let Some(h) = headers.last_mut() {
                    h.1.push(' ');
                    h.1.push_str(l.trim());
                }
                continue;
            }
            if let Some(i) = l.find(':') {
                let n = l[..i].trim().to_ascii_lowercase();
                headers.push((expand(&n).to_string(), l[i + 1..].trim().to_string()));
            }
        }
        Some(Msg { first, headers, body: body.to_string() })
    }
    pub fn get(&self, n: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.0 == n).map(|h| h.1.as_str())
    }
    pub fn all<'a>(&'a self, n: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |h| h.0 == n).map(|h| h.1.as_str())
    }
    pub fn status(&self) -> Option<u16> {
        let mut p = self.first.split_whitespace();
        if p.next()? != "SIP/2.0" {
            return None;
        }
        p.next()?.parse().ok()
    }
    pub fn method(&self) -> Option<&str> {
        if self.first.starts_with("SIP/2.0") { None } else { self.first.split_whitespace().next() }
    }
    pub fn uri(&self) -> Option<&str> {
        self.first.split_whitespace().nth(1)
    }
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let mut p = self.get("cseq")?.split_whitespace();
        Some((p.next()?.parse().ok()?, p.next()?))
    }
}

pub fn tag(h: &str) -> Option<&str> {
    // the tag parameter stands outside the angle brackets
    let rest = match h.find('>') {
        Some(i) => &h[i..],
        None => h,
    };
    rest.split(';').map(|p| p.trim()).find_map(|p| p.strip_prefix("tag="))
}

/// URI inside a name-addr or addr-spec (header parameters cut off).
pub fn uri_of(h: &str) -> &str {
    if let (Some(a), Some(b)) = (h.find('<'), h.find('>'))
        && a < b
    {
        return &h[a + 1..b];
    }
    h.split(';').next().unwrap_or(h).trim()
}

/// Host and port of a sip: URI when the host is an IPv4 address.
pub fn uri_addr(u: &str) -> Option<SocketAddrV4> {
    let u = u.strip_prefix("sip:").unwrap_or(u);
    let u = u.split([';', '?']).next()?;
    let hp = u.rsplit('@').next()?;
    let (h, p) = match hp.split_once(':') {
        Some((h, p)) => (h, p.parse().ok()?),
        None => (hp, 5060),
    };
    Some(SocketAddrV4::new(h.parse::<Ipv4Addr>().ok()?, p))
}

// ---- SDP ----

pub fn sdp_offer(
    ip: Ipv4Addr,
    port: u16,
    c: Codec,
    ptime: u32,
    dtmf: bool,
    rtcp_mux: bool,
    sess: u64,
    ver: u32,
) -> String {
    let pt = c.pt();
    let mut pts = format!("{pt}");
    let mut attrs = format!("a=rtpmap:{pt} {}\r\n", c.rtpmap());
    if c == Codec::Opus {
        attrs.push_str(&format!("a=fmtp:{pt} maxplaybackrate=48000;stereo=0;useinbandfec=0\r\n"));
    }
    if dtmf {
        if c == Codec::Opus {
            pts.push_str(" 101 102");
            attrs.push_str("a=rtpmap:101 telephone-event/48000\r\na=fmtp:101 0-15\r\na=rtpmap:102 telephone-event/8000\r\na=fmtp:102 0-15\r\n");
        } else if let Codec::L16(r) = c {
            pts.push_str(" 101");
            if r != 8000 {
                pts.push_str(" 102");
                attrs.push_str(&format!("a=rtpmap:102 telephone-event/{r}\r\na=fmtp:102 0-15\r\n"));
            }
            attrs.push_str("a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n");
        } else {
            pts.push_str(" 101");
            attrs.push_str("a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n");
        }
    }
    if rtcp_mux {
        attrs.push_str("a=rtcp-mux\r\n");
    }
    format!(
        "v=0\r\no=load {sess} {ver} IN IP4 {ip}\r\ns=load\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {pts}\r\n{attrs}a=ptime:{ptime}\r\na=sendrecv\r\n"
    )
}

#[derive(Debug, Clone, PartialEq)]
pub struct SdpMedia {
    pub addr: SocketAddrV4,
    pub pts: Vec<u8>,
    /// payload type -> encoding (upper case, such as "PCMU/8000")
    pub maps: Vec<(u8, String)>,
    pub ptime: Option<u32>,
    pub direction: String,
}

pub fn parse_sdp(b: &str) -> Option<SdpMedia> {
    let mut sess_ip: Option<Ipv4Addr> = None;
    let mut med: Option<SdpMedia> = None;
    let mut in_audio = false;
    let mut seen_media = false;
    for l in b.lines() {
        let l = l.trim_end();
        if let Some(v) = l.strip_prefix("m=") {
            seen_media = true;
            in_audio = false;
            if med.is_none() && v.starts_with("audio ") {
                let mut p = v.split_whitespace().skip(1);
                let port: u16 = p.next()?.split('/').next()?.parse().ok()?;
                p.next()?;
                let pts = p.filter_map(|x| x.parse().ok()).collect();
                med = Some(SdpMedia {
                    addr: SocketAddrV4::new(sess_ip.unwrap_or(Ipv4Addr::UNSPECIFIED), port),
                    pts,
                    maps: vec![],
                    ptime: None,
                    direction: "sendrecv".into(),
                });
                in_audio = true;
            }
            continue;
        }
        if let Some(v) = l.strip_prefix("c=IN IP4 ") {
            let ip: Option<Ipv4Addr> = v.split('/').next()?.trim().parse().ok();
            if !seen_media {
                sess_ip = ip;
            } else if in_audio && let (Some(m), Some(ip)) = (med.as_mut(), ip) {
                m.addr.set_ip(ip);
            }
            continue;
        }
        if !in_audio {
            continue;
        }
        if let Some(m) = med.as_mut() {
            if let Some(v) = l.strip_prefix("a=rtpmap:") {
                if let Some((pt, e)) = v.split_once(' ')
                    && let Ok(pt) = pt.parse()
                {
                    m.maps.push((pt, e.trim().to_ascii_uppercase()));
                }
            } else if let Some(v) = l.strip_prefix("a=ptime:") {
                m.ptime = v.trim().parse().ok();
            } else if let Some(v) = l.strip_prefix("a=")
                && matches!(v, "sendrecv" | "sendonly" | "recvonly" | "inactive")
            {
                m.direction = v.into();
            }
        }
    }
    med
}

impl SdpMedia {
    /// Payload type under which `c` was accepted.
    pub fn pt_for(&self, c: Codec) -> Option<u8> {
        let want = c.rtpmap().to_ascii_uppercase();
        for pt in &self.pts {
            match self.maps.iter().find(|m| m.0 == *pt) {
                Some((_, e)) => {
                    let e1 = e.strip_suffix("/1").unwrap_or(e);
                    if *e1 == want {
                        return Some(*pt);
                    }
                }
                None => {
                    // static types need no rtpmap
                    if *pt < 96 && *pt == c.pt() {
                        return Some(*pt);
                    }
                }
            }
        }
        None
    }
}

// ---- digest ----

pub fn param<'a>(h: &'a str, name: &str) -> Option<&'a str> {
    // split on commas outside quotes
    let mut depth = false;
    let mut start = 0;
    let mut parts = vec![];
    for (i, c) in h.char_indices() {
        match c {
            '"' => depth = !depth,
            ',' if !depth => {
                parts.push(&h[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&h[start..]);
    for p in parts {
        if let Some((k, v)) = p.split_once('=') {
            let k = k.trim();
            let k = k.rsplit(' ').next().unwrap_or(k); // "Digest realm"
            if k.eq_ignore_ascii_case(name) {
                return Some(v.trim().trim_matches('"'));
            }
        }
    }
    None
}

fn hex(b: &[u8]) -> String {
    b.iter().map(|x| format!("{x:02x}")).collect()
}

pub fn hash(sha256: bool, s: &str) -> String {
    if sha256 {
        use sha2::Digest;
        hex(&sha2::Sha256::digest(s.as_bytes()))
    } else {
        use md5::Digest;
        hex(&md5::Md5::digest(s.as_bytes()))
    }
}

/// Pick the strongest challenge this tool can answer.
pub fn pick_challenge(ch: &[&str]) -> Option<String> {
    let mut best: Option<(u8, &str)> = None;
    for c in ch {
        if !c.to_ascii_lowercase().starts_with("digest") {
            continue;
        }
        let a = param(c, "algorithm").unwrap_or("MD5").to_ascii_uppercase();
        let rank = match a.as_str() {
            "SHA-256" | "SHA-256-SESS" => 2,
            "MD5" | "MD5-SESS" => 1,
            _ => continue,
        };
        if best.map(|b| rank > b.0).unwrap_or(true) {
            best = Some((rank, c));
        }
    }
    best.map(|b| b.1.to_string())
}

pub fn digest(
    challenge: &str,
    user: &str,
    pass: &str,
    method: &str,
    uri: &str,
    cnonce: &str,
    nc: u32,
) -> String {
    let realm = param(challenge, "realm").unwrap_or("");
    let nonce = param(challenge, "nonce").unwrap_or("");
    let alg = param(challenge, "algorithm").unwrap_or("MD5").to_string();
    let up = alg.to_ascii_uppercase();
    let s256 = up.starts_with("SHA-256");
    let qop =
        param(challenge, "qop").map(|q| q.split(',').any(|x| x.trim() == "auth")).unwrap_or(false);
    let mut ha1 = hash(s256, &format!("{user}:{realm}:{pass}"));
    if up.ends_with("-SESS") {
        ha1 = hash(s256, &format!("{ha1}:{nonce}:{cnonce}"));
    }
    let ha2 = hash(s256, &format!("{method}:{uri}"));
    let resp = if qop {
        hash(s256, &format!("{ha1}:{nonce}:{nc:08x}:{cnonce}:auth:{ha2}"))
    } else {
        hash(s256, &format!("{ha1}:{nonce}:{ha2}"))
    };
    let mut h = format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{resp}\", algorithm={alg}"
    );
    if qop {
        h.push_str(&format!(", qop=auth, nc={nc:08x}, cnonce=\"{cnonce}\""));
    }
    if let Some(o) = param(challenge, "opaque") {
        h.push_str(&format!(", opaque=\"{o}\""));
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn digest_rfc2617_example() {
        // RFC 2617 section 3.5
        let ch = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let h = digest(ch, "Mufasa", "Circle Of Life", "GET", "/dir/index.html", "0a4f113b", 1);
        assert!(h.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{h}");
        assert!(h.contains("opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""));
    }
    #[test]
    fn digest_rfc7616_sha256_example() {
        let ch = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let h = digest(
            ch,
            "Mufasa",
            "Circle of Life",
            "GET",
            "/dir/index.html",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            1,
        );
        assert!(
            h.contains("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            "{h}"
        );
    }
    #[test]
    fn challenge_choice() {
        let a = "Digest realm=\"a\", nonce=\"x\", algorithm=MD5";
        let b = "Digest realm=\"a\", nonce=\"y\", algorithm=SHA-256";
        let c = "Digest realm=\"a\", nonce=\"z\", algorithm=SHA-512-256";
        assert_eq!(pick_challenge(&[a, b, c]).unwrap(), b);
        assert_eq!(pick_challenge(&[c, a]).unwrap(), a);
        assert!(pick_challenge(&[c]).is_none());
    }
    #[test]
    fn message_parsing() {
        let m = Msg::parse(b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP 1.2.3.4;branch=z9\r\nFrom: \"a;tag=no\" <sip:a@b;x=1>;tag=f1\r\nt: <sip:c@d>;tag=t1\r\ni: abc\r\nCSeq: 3 INVITE\r\nRecord-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>\r\nm: <sip:c@127.0.0.1:5090;transport=udp>;expires=3\r\nl: 4\r\n\r\nbody").unwrap();
        assert_eq!(m.status(), Some(200));
        assert_eq!(m.cseq(), Some((3, "INVITE")));
        assert_eq!(tag(m.get("from").unwrap()), Some("f1"));
        assert_eq!(tag(m.get("to").unwrap()), Some("t1"));
        assert_eq!(m.all("record-route").count(), 2);
        assert_eq!(uri_of(m.get("contact").unwrap()), "sip:c@127.0.0.1:5090;transport=udp");
        assert_eq!(
            uri_addr("sip:c@127.0.0.1:5090;transport=udp"),
            Some("127.0.0.1:5090".parse().unwrap())
        );
        assert_eq!(uri_addr("sip:127.0.0.1"), Some("127.0.0.1:5060".parse().unwrap()));
        assert_eq!(m.body, "body");
    }
    #[test]
    fn sdp_answers() {
        let m = parse_sdp("v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 12000 RTP/AVP 111 101\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n").unwrap();
        assert_eq!(m.addr, "127.0.0.1:12000".parse().unwrap());
        assert_eq!(m.pt_for(Codec::Opus), Some(111));
        assert_eq!(m.pt_for(Codec::Pcmu), None);
        assert_eq!(m.ptime, Some(20));
        let m = parse_sdp("v=0\r\nm=video 1 RTP/AVP 99\r\nc=IN IP4 9.9.9.9\r\nm=audio 4000 RTP/AVP 0 101\r\nc=IN IP4 127.0.0.5\r\n").unwrap();
        assert_eq!(m.addr, "127.0.0.5:4000".parse().unwrap());
        assert_eq!(m.pt_for(Codec::Pcmu), Some(0));
        let m = parse_sdp(
            "c=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 97\r\na=rtpmap:97 L16/16000/1\r\n",
        )
        .unwrap();
        assert_eq!(m.pt_for(Codec::L16(16000)), Some(97));
        assert_eq!(m.pt_for(Codec::L16(8000)), None);
    }
}

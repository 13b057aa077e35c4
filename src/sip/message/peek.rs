//! What a message is about, without reading it whole.

use crate::sip::scan;

/// The Call-ID of a message as it came; `None` if it has none, or is none.
///
/// Costs a look at each header line before it.
pub fn call_id(message: &[u8]) -> Option<&[u8]> {
    header(message, &["call-id", "i"])
}

/// The User-Agent of a request as it came; `None` for a response, and if it has none.
///
/// Costs a look at each header line before it.
pub fn user_agent(request: &[u8]) -> Option<&[u8]> {
    if request.starts_with(b"SIP/2.0 ") {
        return None;
    }
    header(request, &["user-agent"])
}

/// The value of the first header with one of these names that has a value.
fn header<'a>(message: &'a [u8], names: &[&str]) -> Option<&'a [u8]> {
    message
        .split(|octet| *octet == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let (name, value) = line.split_at(memchr::memchr(b':', line)?);
            let name = scan::trim(name);
            let is_it = names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()));
            is_it.then(|| scan::trim(&value[1..])).filter(|value| !value.is_empty())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_is_found_by_either_name() {
        for (message, found) in [
            (&b"BYE sip:a SIP/2.0\r\nVia: x\r\nCall-ID: one@a\r\n\r\n"[..], Some(&b"one@a"[..])),
            (b"BYE sip:a SIP/2.0\nI :  two \n\n", Some(b"two")),
            (b"BYE sip:a SIP/2.0\r\nVia: x\r\n\r\nCall-ID: body\r\n", None),
            (b"Call-ID: no start line", None),
            (b"BYE sip:a SIP/2.0\r\nCall-ID:\r\n\r\n", None),
            (b"\r\n\r\n", None),
            (b"", None),
        ] {
            assert_eq!(call_id(message), found);
        }
    }

    #[test]
    fn a_request_says_which_program_sent_it() {
        for (message, found) in [
            (
                &b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\nuser-agent: friendly-scanner\r\n\r\n"[..],
                Some(&b"friendly-scanner"[..]),
            ),
            (b"SIP/2.0 200 OK\r\nUser-Agent: friendly-scanner\r\n\r\n", None),
            (b"BYE sip:a SIP/2.0\r\n\r\nUser-Agent: body\r\n", None),
        ] {
            assert_eq!(user_agent(message), found);
        }
    }
}

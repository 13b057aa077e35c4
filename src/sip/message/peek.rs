//! What a message is about, without reading it whole.

use crate::sip::scan;

/// The Call-ID of a message as it came; `None` if it has none, or is none.
///
/// Costs a look at each header line before it.
pub fn call_id(message: &[u8]) -> Option<&[u8]> {
    message
        .split(|octet| *octet == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let (name, value) = line.split_at(memchr::memchr(b':', line)?);
            let name = scan::trim(name);
            let is_call_id =
                name.eq_ignore_ascii_case(b"call-id") || name.eq_ignore_ascii_case(b"i");
            is_call_id.then(|| scan::trim(&value[1..])).filter(|value| !value.is_empty())
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
}

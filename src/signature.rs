//! What we send over HTTP is signed as by Standard Webhooks 1.0, so that whoever gets it knows that we made it, and when.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The headers of a message: its id, when it is sent, and a signature for each key; none without a key.
pub(crate) fn signed(
    keys: &[Vec<u8>],
    (id, seconds): (&str, i64),
    body: &[u8],
) -> Vec<(&'static str, String)> {
    let mut headers =
        vec![("webhook-id", id.to_owned()), ("webhook-timestamp", seconds.to_string())];
    let signatures: Vec<_> = keys.iter().map(|key| signature(key, (id, seconds), body)).collect();
    if !signatures.is_empty() {
        headers.push(("webhook-signature", signatures.join(" ")));
    }
    headers
}

fn signature(key: &[u8], (id, seconds): (&str, i64), body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use api::webhooks::key_of;

    use super::*;

    /// The example of the specification.
    #[test]
    fn a_message_is_signed_as_the_specification_shows() {
        let key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";

        let headers = signed(&[key], (id, 1_614_265_330), br#"{"test": 2432232314}"#);

        assert_eq!(headers[0], ("webhook-id", id.to_owned()));
        assert_eq!(headers[1], ("webhook-timestamp", "1614265330".to_owned()));
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned();
        assert_eq!(headers[2], ("webhook-signature", signature));
    }

    #[test]
    fn each_key_signs() {
        let headers = signed(&[vec![1; 24], vec![2; 24]], ("evt_1", 1), b"{}");

        let signatures: Vec<_> = headers[2].1.split(' ').collect();
        assert_eq!(signatures.len(), 2);
        assert!(signatures.iter().all(|signature| signature.starts_with("v1,")), "{signatures:?}");
        assert_ne!(signatures[0], signatures[1]);
    }
}

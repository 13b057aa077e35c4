//! What SRTP costs a packet of 20 ms of G.711: protecting and opening it, and the ciphers alone on as many octets.
//!
//! `cargo bench -p mixer --bench srtp`

use aes::cipher::{InnerIvInit, KeyInit, StreamCipherCore};
use aes_gcm::{AeadInOut, Aes128Gcm, Nonce};
use criterion::{Criterion, criterion_group, criterion_main};
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use mixer::rtp::{Header, RtpTimestamp, Sequence, Ssrc};
use mixer::srtp::{MasterKey, OVERHEAD_MAX, Receiver, Sender, Suite};
use sha1::Sha1;

/// 20 ms of G.711 behind their header.
const LEN: usize = 172;

fn suites(criterion: &mut Criterion) {
    for suite in [Suite::Aes128CmSha1_80, Suite::Aes128Gcm, Suite::Aes256Gcm] {
        let mut group = criterion.benchmark_group(suite.name());
        let key = key(suite);
        let mut buffer = [0; LEN + OVERHEAD_MAX];
        let (mut sender, mut sequence) = (Sender::new(&key), Sequence::default());
        group.bench_function("protect", |b| {
            b.iter(|| next(&mut sender, &mut sequence, &mut buffer));
        });
        let (mut sender, mut sequence) = (Sender::new(&key), Sequence::default());
        let mut receiver = Receiver::new(&key);
        group.bench_function("protect, unprotect", |b| {
            b.iter(|| {
                let len = next(&mut sender, &mut sequence, &mut buffer);
                receiver.unprotect(&mut buffer[..len])
            });
        });
        group.finish();
    }
}

fn ciphers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ciphers alone");
    let mut octets = [0; LEN];
    let aes = aes::Aes128::new(&[1; 16].into());
    let mac = Hmac::<Sha1>::new(&[1; 64].into());
    group.bench_function("AES-128 counter mode, HMAC-SHA1", |b| {
        b.iter(|| {
            let core = ctr::CtrCore::<_, Ctr128BE>::inner_iv_init(&aes, &[2; 16].into());
            core.apply_keystream_partial((&mut octets[12..]).into());
            mac.clone().chain_update(octets).finalize()
        });
    });
    let gcm = Aes128Gcm::new(&[1; 16].into());
    group.bench_function("AES-128-GCM", |b| {
        b.iter(|| {
            let (header, payload) = octets.split_at_mut(12);
            gcm.encrypt_inout_detached(&Nonce::from([2; 12]), header, payload.into())
        });
    });
    group.finish();
}

/// Writes the next packet and protects it.
fn next(sender: &mut Sender, sequence: &mut Sequence, buffer: &mut [u8]) -> usize {
    *sequence = sequence.next();
    let timestamp = RtpTimestamp::new(u32::from(sequence.number()) * 160);
    let header = Header { sequence: *sequence, timestamp, ssrc: Ssrc::new(1), ..Header::default() };
    buffer[..12].copy_from_slice(&header.print());
    sender.protect(buffer, LEN).unwrap_or(LEN)
}

fn key(suite: Suite) -> MasterKey {
    let octets = [7; MasterKey::MAX_LEN];
    MasterKey::new(suite, &octets[..suite.master_len()]).unwrap_or_else(|| unreachable!())
}

criterion_group!(benches, suites, ciphers);
criterion_main!(benches);

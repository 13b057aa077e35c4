#!/usr/bin/env python3
"""Scores by PESQ (ITU-T P.862) what `cargo run --release -p mixer --example quality -- OUT [WAV ...]` wrote.

`tests/quality/run` does both. One row for each codec and pattern of loss: r is random, b in bursts of 3 packets on
average, in percent; the mean of all seeds, narrow band for G.711, wide band for the others.

- alone: the codec once, with ITU-T G.711 Appendix I in place of what is lost (Opus: with libopus's own); no bridge.
- reference: the same, coded once more, as a bridge that mixes must. The bar.
- bridge: what a listener hears.

Differences below 0.1 mean nothing, in bursts and at 20 % below 0.2. Fails if the bridge is more than 0.1 behind.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from pesq import pesq
from scipy.io import wavfile

NAMES = {"pcmu": "PCMU", "pcma": "PCMA", "g722": "G.722", "opus": "Opus 24k FEC"}
PATTERNS = ["0", "r1", "r5", "r10", "r20", "b5", "b10", "b20"]
WAYS = ["receiver", "tandem", "bridge"]


def score(paths):
    said, heard = paths
    rate, reference = wavfile.read(said)
    _, degraded = wavfile.read(heard)
    return pesq(rate, reference, degraded, "nb" if rate == 8000 else "wb")


def scores(directory):
    means = {}
    files = sorted(Path(directory).glob("*-*-*-*.wav"))
    pairs = [(p.with_name(p.name.split("-")[0] + "-said.wav"), p) for p in files]
    with ProcessPoolExecutor() as pool:
        for path, value in zip(files, pool.map(score, pairs)):
            codec, pattern, _, way = path.stem.split("-")
            means.setdefault((codec, pattern), {}).setdefault(way, []).append(value)
    return {key: {way: sum(v) / len(v) for way, v in ways.items()} for key, ways in means.items()}


def main(directory):
    means = scores(directory)
    behind = []
    print("| codec | loss | alone, Appendix I | reference | bridge | |")
    print("|---|---|---|---|---|---|")
    for codec, name in NAMES.items():
        for pattern in PATTERNS:
            if (codec, pattern) not in means:
                continue
            alone, reference, bridge = (means[codec, pattern][way] for way in WAYS)
            print(f"| {name} | {pattern} | {alone:.2f} | {reference:.2f} | {bridge:.2f} | {bridge - reference:+.2f} |")
            if bridge < reference - 0.1:
                behind.append(f"{name} {pattern}")
    if behind:
        sys.exit("behind the reference: " + ", ".join(behind))


if __name__ == "__main__":
    main(sys.argv[1])

#!/usr/bin/env python3
"""Scores what `cargo run --release -p mixer --example quality -- OUT [WAV ...]` wrote, by PESQ (ITU-T P.862).

    pip install pesq numpy scipy
    apt install pocketsphinx-testdata       # for instance: LibriVox speech, public domain, 16 kHz
    cargo run --release -p mixer --example quality -- OUT /usr/share/pocketsphinx/test/data/librivox/*.wav
    tests/quality/score.py OUT

One row for each codec and way, one column for each pattern of loss: the mean of all seeds. Narrow band for PCMU, wide
band for the others. The bridge is as good as can be when it reaches *receiver* (PCMU) or *tandem* (the others).
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from pesq import pesq
from scipy.io import wavfile


def score(paths):
    said, heard = paths
    rate, reference = wavfile.read(said)
    _, degraded = wavfile.read(heard)
    return pesq(rate, reference, degraded, "nb" if rate == 8000 else "wb")


def main(directory, only):
    scores = {}
    files = sorted(p for p in Path(directory).glob("*-*-*-*.wav") if not only or p.name.split("-")[0] in only)
    pairs = [(p.with_name(p.name.split("-")[0] + "-said.wav"), p) for p in files]
    with ProcessPoolExecutor() as pool:
        for path, value in zip(files, pool.map(score, pairs)):
            codec, pattern, _, way = path.stem.split("-")
            scores.setdefault((codec, way), {}).setdefault(pattern, []).append(value)
    patterns = ["0", "r1", "r5", "r10", "r20", "b5", "b10"]
    print("| | " + " | ".join(patterns) + " |")
    print("|---" * (len(patterns) + 1) + "|")
    for (codec, way), row in sorted(scores.items()):
        means = (f"{sum(row[p]) / len(row[p]):.2f}" if p in row else "-" for p in patterns)
        print(f"| {codec} {way} | " + " | ".join(means) + " |")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

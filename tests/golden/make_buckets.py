#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints tests/golden/buckets.tsv: buckets computed by Python's hashlib, independent of our code."""
import hashlib

SEEDS = ["ttft-pipeline-2025-01-08", "canary-2025-01-08", "fraud_detection", "s", "", "exp-2025", "x" * 70]
KEYS = ["request-123", "request-456", "user-2", "user-123", "user_123", "", "a:b", "日本語", "k" * 55, "k" * 56,
        "k" * 64, "k" * 200] + [f"user-{i}" for i in range(60)]

print("# key\tseed\tfirst 8 hex of MD5(key:seed)\tcoarse\tfine\tSHA-256(key+seed) mod 100, mod 1000, mod 7")
for seed in SEEDS:
    for key in KEYS:
        prefix = hashlib.md5(f"{key}:{seed}".encode()).hexdigest()[:8]
        u = int(prefix, 16)
        big = int(hashlib.sha256((key + seed).encode()).hexdigest(), 16)
        print(key, seed, prefix, u % 100, (u % 100) * 1000 + (u // 100) % 1000, big % 100, big % 1000, big % 7, sep="\t")

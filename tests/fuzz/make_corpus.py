#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the binary part of the corpus (corpus/snapshot_entry, frame, telemetry, session), with an encoder of its own."""
import hashlib
import pathlib
import struct

ROOT = pathlib.Path(__file__).parent / "corpus"


def pack(value):
    """msgpack, shortest form; bytes are bin, str is str."""
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        if value < 0:
            return struct.pack(">bq", -0x2D, value)  # 0xd3
        return struct.pack(">BB", 0xCC, value) if value < 256 else struct.pack(">BQ", 0xCF, value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        raw = value.encode()
        if len(raw) < 32:
            return bytes([0xA0 + len(raw)]) + raw
        return struct.pack(">BH", 0xDA, len(raw)) + raw
    if isinstance(value, bytes):
        return struct.pack(">BH", 0xC5, len(value)) + value
    if isinstance(value, list):
        head = bytes([0x90 + len(value)]) if len(value) < 16 else struct.pack(">BH", 0xDC, len(value))
        return head + b"".join(pack(item) for item in value)
    if isinstance(value, dict):
        head = bytes([0x80 + len(value)]) if len(value) < 16 else struct.pack(">BH", 0xDE, len(value))
        return head + b"".join(pack(k) + pack(v) for k, v in value.items())
    raise TypeError(value)


RULE = '{"if":[{"in":["@example.com",{"var":"email"}]},"on",{"fractional":[["on",10],["off",90]]}]}'
FLAG = {2: "f", 4: True, 6: 20000, 8: "f-2025"}
VARIANT = {2: "f", 4: True, 20: [{2: "off", 4: "false"}, {2: "on", 4: "true"}], 22: "off", 24: "off", 26: RULE,
           1: '{"team":"risk"}'}
MODEL = {2: "f", 4: "1.0.0", 8: [{2: "1.0.0", 4: "xgboost", 6: "ab" * 32},
                                 {2: "1.1.0", 4: "xgboost", 8: {2: 0.25, 4: 10, 6: 1770000000000}}],
         10: [{2: "features", 4: "FP32", 6: [-1, 12]}]}
SPLIT = {2: "f", 4: "fraud", 8: "1.1.0", 10: 10000, 12: "user_id", 14: "fraud", 18: {"zone": "a"}}
EXPERIMENT = {2: "f", 4: "user_id", 6: "exp-2025", 8: [{2: "control", 4: 50}, {2: "treatment", 4: 50}]}
OBSERVABILITY = {2: "default", 4: {1: True, 3: False, 5: True, 7: "mlx_serving_feature_flags"}}

ENTRIES = {
    "flag": (1, FLAG),
    "flag_listed": (1, {**FLAG, 12: True, 14: ["user-1", "user-2"], 16: ["p"]}),
    "flag_cycle": (1, {**FLAG, 16: ["f"]}),
    "flag_scheduled": (1, {**FLAG, 30: [{2: 1770000000000, 4: False}, {2: 1780000000000, 6: 100000}]}),
    "flag_variant": (1, VARIANT),
    "flag_malformed": (1, {2: "f", 4: True, 28: "variants: is missing"}),
    "flag_unknown_even": (1, {**FLAG, 126: True}),
    "flag_unknown_odd": (1, {**FLAG, 127: [{1: [1.5, None, b"x"]}]}),
    "flag_deep": (1, {**FLAG, 127: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}),
    "model": (2, MODEL),
    "split": (3, SPLIT),
    "split_of_flag": (3, {2: "f", 6: "p", 10: 1, 12: "user_id", 14: "s", 16: True}),
    "experiment": (4, EXPERIMENT),
    "experiment_of_nothing": (4, {**EXPERIMENT, 8: [{2: "control", 4: 0}]}),
    "observability": (5, OBSERVABILITY),
    "unknown_kind": (99, FLAG),
}


def digest(entries):
    total = 0
    for entry in entries:
        text = bytes([entry[2]]) + b"\0" + entry[4].encode() + b"\0" + entry[6]
        total += int.from_bytes(hashlib.blake2b(text, digest_size=32).digest(), "big")
    return (total % 2**256).to_bytes(32, "big")


def frame(topic, kind, version, body, epoch=100):
    raw = pack(body)
    whole = topic + b"WEIR" + bytes([1, 0, kind, 0]) + struct.pack(">QQQI", epoch, version, 1, len(raw)) + raw
    return struct.pack(">H", len(whole)) + whole


def change(kind, name, entry):
    return {2: kind, 4: name, 6: pack(entry) if entry is not None else b""}


SET = [change(1, "a", {**FLAG, 2: "a"}), change(2, "m", {**MODEL, 2: "m"})]
MORE = change(1, "f", VARIANT)
EMERGENCY = {2: 100, 4: 3, 6: True, 8: False, 10: False}
SERIES = {2: "model/fraud", 4: "1.1.0", 6: "canary", 8: {"requests": 3, "bad": 1}, 10: [12, 2, 14, 1],
          12: [1.0, 2.0, 3.5, 1.0], 1: [77]}

snapshot = frame(b"s", 2, 2, {2: SET, 4: digest(SET), 6: EMERGENCY})
delta = frame(b"c", 1, 3, {2: 2, 4: [MORE], 6: digest(SET + [MORE]), 8: EMERGENCY})
removal = frame(b"c", 1, 4, {2: 3, 4: [change(1, "a", None)], 6: digest([SET[1], MORE]), 8: EMERGENCY})
beacon = frame(b"b", 3, 4, {2: 4, 4: digest([SET[1], MORE]), 6: 1, 8: EMERGENCY})

FRAMES = {
    "life": snapshot + delta + removal + beacon,
    "gap": snapshot + removal + delta + beacon,
    "new_epoch": snapshot + frame(b"b", 3, 1, {2: 1, 4: digest(SET)}, epoch=101) + delta,
    "refused_entry": frame(b"s", 2, 2, {2: [change(99, "x", FLAG), MORE], 4: digest([change(99, "x", FLAG), MORE])}),
    "entry_twice": frame(b"s", 2, 2, {2: [MORE, MORE], 4: digest([MORE, MORE])}),
    "emergency": snapshot + frame(b"e", 4, 2, {2: {**EMERGENCY, 4: 9, 8: True}}),
    "hello": frame(b"s", 10, 0, {2: "node-1", 4: 1770000000000, 6: 1, 8: 1, 1: "0.1.0", 10: {"zone": "a"}, 12: 100,
                                 14: 2, 16: digest(SET), 18: 1, 20: 5000, 3: "127.0.0.1:8080"}),
    "welcome": frame(b"s", 11, 0, {1: "0.1.0", 2: 7}),
    "refused": frame(b"s", 12, 0, {1: "wire version 2 is not spoken"}),
    "request": frame(b"s", 13, 0, {2: 100, 4: 2}),
    "applied": frame(b"s", 14, 2, {2: [{2: 1, 4: "x", 1: "invalid_argument", 3: "kind: 99"}]}),
    "heartbeat": frame(b"s", 15, 0, {2: 12345, 1: 2}),
    "report": frame(b"s", 16, 0, {2: True, 4: [{2: "m", 4: "1.0.0", 6: "READY"}], 1: ["flag f is forced on"]}),
    "ack": frame(b"s", 17, 0, {2: 1770000000000, 4: 9}),
    "goodbye": frame(b"s", 18, 0, {1: "drained"}),
    "batch": frame(b"t", 30, 0, {2: "node-1", 4: 1770000000000, 6: 8, 8: 100, 10: 200, 12: [SERIES],
                                 1: [{2: "f", 4: "#0123456789", 6: "on", 8: "SPLIT", 10: 1770000000000}]}),
}



def to(where, one_frame):
    """Where it goes: 1 control, else node; 2 as the second node, or over cfg; 4 five seconds later."""
    return bytes([where]) + one_frame


def hello(name, epoch=0, version=0, majors=(1, 1)):
    return frame(b"s", 10, version, {2: name, 4: 9, 6: majors[0], 8: majors[1], 12: epoch, 14: version}, epoch)


def batch(seq, incarnation=9, node="node-1", start=100, end=200):
    return frame(b"t", 30, 0, {2: node, 4: incarnation, 6: seq, 8: start, 10: end, 12: [SERIES]})


WELCOME = frame(b"s", 11, 4, {1: "0.1.0", 2: 7})
MOVE = frame(b"s", 19, 4, {2: "k" * 40, 4: "tcp://127.0.0.1:1", 6: "tcp://127.0.0.1:2", 8: "tcp://127.0.0.1:3"})
TELEMETRY = {
    "in_order": batch(1) + batch(2) + batch(3),
    "again": batch(1) + batch(1) + batch(2) + batch(1),
    "early": batch(3) + batch(2) + batch(1),
    "far_ahead": batch(1) + batch(2**40),
    "incarnations": batch(1) + batch(1, 10) + batch(2) + batch(2, 10),
    "another_node": batch(1, node="node-2"),
    "window": batch(1, start=200, end=100) + batch(2, end=2**60),
    "decisions": FRAMES["batch"],
    "not_a_batch": FRAMES["hello"] + FRAMES["heartbeat"],
}
SESSION = {
    "life": to(1, hello("node-1")) + to(1, FRAMES["applied"]) + to(1, FRAMES["report"]) + to(1, FRAMES["heartbeat"])
            + to(1, FRAMES["request"]) + to(1, FRAMES["goodbye"]),
    "two_nodes": to(1, hello("node-1")) + to(3, hello("node-2")) + to(7, FRAMES["heartbeat"]) + to(1, FRAMES["applied"]),
    "anothers_name": to(1, hello("node-2")) + to(3, hello("node-1")),
    "ahead": to(1, hello("node-1", 101, 9)),
    "majors": to(1, hello("node-1", majors=(2, 3))),
    "before_hello": to(1, FRAMES["heartbeat"]) + to(1, FRAMES["request"]) + to(1, FRAMES["applied"]),
    "node_life": to(2, beacon) + to(0, WELCOME) + to(0, snapshot) + to(2, delta) + to(2, removal) + to(2, beacon),
    "node_gap": to(2, beacon) + to(0, WELCOME) + to(0, snapshot) + to(2, removal) + to(6, beacon) + to(0, FRAMES["ack"]),
    "node_refused": to(2, beacon) + to(0, FRAMES["refused"]) + to(4, WELCOME),
    "node_moves": to(2, beacon) + to(0, WELCOME) + to(0, MOVE) + to(2, beacon) + to(0, WELCOME),
    "wrong_way": to(0, hello("node-1")) + to(1, WELCOME) + to(2, FRAMES["heartbeat"]) + to(1, delta),
}

for folder, files in (("telemetry", TELEMETRY), ("session", SESSION),
                      ("snapshot_entry", {n: bytes([k]) + pack(e) for n, (k, e) in ENTRIES.items()}),
                      ("frame", FRAMES)):
    (ROOT / folder).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (ROOT / folder / name).write_bytes(content)

"""Owns the ledger's tables.

Times are seconds since the epoch, UTC. Names are bytes. A report's place in the queue is `seq`;
`rid` is its row for ever.
"""

from __future__ import annotations

VERSION = 3

# What an older ledger lacks, by the version that it has.
UPGRADES = {
    1: ("CREATE INDEX events_gate ON events (id) WHERE kind = 'gate.decided'",),
    2: ("ALTER TABLE throttles ADD COLUMN paced INTEGER NOT NULL DEFAULT 0",),
}

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;

CREATE TABLE reports (
    rid INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL UNIQUE,
    id TEXT UNIQUE,                    -- null until the file was read
    name BLOB NOT NULL,
    folder TEXT NOT NULL DEFAULT 'pending',
    dev INTEGER NOT NULL, ino INTEGER NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    sha256 TEXT,
    fields TEXT,                       -- the front matter's fields as JSON, once frozen
    state TEXT NOT NULL DEFAULT 'waiting',
    corrected INTEGER NOT NULL DEFAULT 0,
    doubt INTEGER NOT NULL DEFAULT 0,  -- pending when an earlier ledger was lost
    reason TEXT NOT NULL DEFAULT '',
    submitted_by TEXT NOT NULL DEFAULT '', submitted_uid INTEGER,
    admitted_at REAL NOT NULL, settled_at REAL, missing_at REAL
);
CREATE UNIQUE INDEX reports_waiting_name ON reports (name) WHERE state = 'waiting';
CREATE INDEX reports_name ON reports (name);
CREATE INDEX reports_state ON reports (state, seq);
CREATE INDEX reports_unread ON reports (seq) WHERE state = 'waiting' AND fields IS NULL;
CREATE INDEX reports_missing ON reports (missing_at) WHERE missing_at IS NOT NULL;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rid INTEGER NOT NULL REFERENCES reports (rid),
    ordinal INTEGER NOT NULL,
    destination TEXT NOT NULL, channel TEXT NOT NULL, target TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    direct INTEGER NOT NULL DEFAULT 0, -- by `send`, a person's explicit act
    state TEXT NOT NULL DEFAULT 'waiting',
    ended_at REAL, ended_by TEXT NOT NULL DEFAULT ''
);
CREATE INDEX deliveries_report ON deliveries (rid, ordinal);
CREATE INDEX deliveries_waiting ON deliveries (destination) WHERE state = 'waiting';

CREATE TABLE parts (
    delivery INTEGER NOT NULL REFERENCES deliveries (id),
    number INTEGER NOT NULL, count INTEGER NOT NULL,
    key TEXT NOT NULL,
    plain BLOB NOT NULL, marked BLOB NOT NULL, plain_sha256 TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    form TEXT NOT NULL DEFAULT 'plain',
    doubt_since REAL,                  -- null: no doubt; 0: since an unknown time
    doubt_last REAL,
    receipt_id TEXT, receipt_link TEXT, receipt_proof TEXT, receipt_note TEXT, confirmed_at REAL,
    PRIMARY KEY (delivery, number)
) WITHOUT ROWID;
CREATE INDEX parts_receipt ON parts (confirmed_at) WHERE receipt_id IS NOT NULL;

CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery INTEGER NOT NULL, number INTEGER NOT NULL,
    key TEXT NOT NULL, form TEXT NOT NULL,
    started_at REAL NOT NULL, ended_at REAL,
    outcome TEXT, code TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX attempts_delivery ON attempts (delivery, number);
CREATE INDEX attempts_open ON attempts (id) WHERE outcome IS NULL;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL, kind TEXT NOT NULL, rid INTEGER, fields TEXT NOT NULL
);
CREATE INDEX events_report ON events (rid) WHERE rid IS NOT NULL;
CREATE INDEX events_gate ON events (id) WHERE kind = 'gate.decided';

CREATE TABLE lanes (
    name TEXT PRIMARY KEY, paused INTEGER NOT NULL DEFAULT 0, paused_at REAL,
    state TEXT NOT NULL DEFAULT 'idle', code TEXT NOT NULL DEFAULT '', since REAL
) WITHOUT ROWID;

CREATE TABLE throttles (
    destination TEXT PRIMARY KEY, began_at REAL NOT NULL, delay_s REAL NOT NULL,
    paced INTEGER NOT NULL DEFAULT 0   -- within the limit, so that the channel need not ask
) WITHOUT ROWID;

CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO totals VALUES ('next_seq', 1), ('sent', 0), ('rejected', 0), ('waiting', 0);
"""

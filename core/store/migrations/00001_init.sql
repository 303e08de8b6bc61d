-- +goose Up
CREATE TABLE sessions (
    id         TEXT PRIMARY KEY,
    owner      BLOB NOT NULL,
    created_at INTEGER NOT NULL, -- nanoseconds since 1970, UTC
    record     BLOB NOT NULL     -- the rest of session.Session as JSON
);
CREATE INDEX sessions_by_owner ON sessions (owner, created_at);

CREATE TABLE events (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    id         INTEGER NOT NULL,
    turn       INTEGER NOT NULL,
    time       INTEGER NOT NULL, -- nanoseconds since 1970, UTC
    type       TEXT NOT NULL,
    data       BLOB NOT NULL,    -- the event's own fields as JSON
    PRIMARY KEY (session_id, id)
) WITHOUT ROWID;

CREATE TABLE policy_states (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    policy     TEXT NOT NULL,
    state      BLOB NOT NULL,
    PRIMARY KEY (session_id, policy)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE policy_states;
DROP TABLE events;
DROP TABLE sessions;

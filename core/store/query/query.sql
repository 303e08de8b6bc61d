-- name: PutSession :exec
INSERT INTO sessions (id, owner, created_at, record) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET record = excluded.record;

-- name: GetSession :one
SELECT * FROM sessions WHERE id = ?;

-- name: ListSessions :many
SELECT * FROM sessions ORDER BY created_at DESC, id;

-- name: ListSessionsByOwner :many
SELECT * FROM sessions WHERE owner = ? ORDER BY created_at DESC, id;

-- name: DeleteSession :exec
DELETE FROM sessions WHERE id = ?;

-- name: AppendEvent :exec
INSERT INTO events (session_id, id, turn, time, type, data) VALUES (?, ?, ?, ?, ?, ?);

-- name: ReadEvents :many
SELECT * FROM events WHERE session_id = ? AND id > ? ORDER BY id LIMIT ?;

-- name: LastEventID :one
SELECT CAST(COALESCE(MAX(id), 0) AS INTEGER) FROM events WHERE session_id = ?;

-- name: GetPolicyState :one
SELECT state FROM policy_states WHERE session_id = ? AND policy = ?;

-- name: PutPolicyState :exec
INSERT INTO policy_states (session_id, policy, state) VALUES (?, ?, ?)
ON CONFLICT (session_id, policy) DO UPDATE SET state = excluded.state;

-- name: PutVolume :exec
INSERT INTO volumes (name, provider) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET provider = excluded.provider;

-- name: DeleteVolume :exec
DELETE FROM volumes WHERE name = ?;

-- name: ListVolumes :many
SELECT * FROM volumes ORDER BY name;

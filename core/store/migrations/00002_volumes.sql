-- +goose Up
CREATE TABLE volumes (
    name     TEXT PRIMARY KEY,
    provider TEXT NOT NULL
);
-- A session's volume had the session's name.
UPDATE sessions
SET record = CAST(json_set(CAST(record AS TEXT), '$.Volume', id) AS BLOB)
WHERE COALESCE(json_extract(CAST(record AS TEXT), '$.Volume'), '') = '';

-- +goose Down
DROP TABLE volumes;

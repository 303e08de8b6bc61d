// Package store keeps sessions, their events and the state of their policies: SQLite in the data folder. Schema changes are goose
// migrations in migrations/, queries are in query/ and become Go in db/ by sqlc (`make gen`). Nothing but SQL lives here.
//
// Why SQLite in WAL mode with synchronous=NORMAL: what is acknowledged survives kill -9 of the host; only a power cut may take the
// last moments. Why two handles: SQLite has one writer, so a single write connection queues in Go instead of failing as busy.
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the "sqlite" driver

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/core/store/db"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is safe for concurrent use.
type Store struct {
	write, read *sql.DB
	w, r        *db.Queries
}

var (
	_ event.Store   = (*Store)(nil)
	_ session.Store = (*Store)(nil)
)

// Open opens the database file at path, creates it with mode 0600 when absent, and migrates it.
func Open(ctx context.Context, path string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("creating the store's folder: %w", err)
	}
	// SQLite creates files by umask; make ours first so that nobody else ever reads it. The -wal file takes its mode from it.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating the store: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("creating the store: %w", err)
	}
	// Cleaned, because after two slashes SQLite expects a host.
	dsn := "file:" + (&url.URL{Path: filepath.Clean(path)}).EscapedPath() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)&_txlock=immediate"
	s := &Store{}
	if s.write, err = sql.Open("sqlite", dsn); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", dsn); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store: %w", err), s.write.Close())
	}
	s.read.SetMaxOpenConns(4)
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.w, err = db.Prepare(ctx, s.write); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing statements: %w", err), s.Close())
	}
	if s.r, err = db.Prepare(ctx, s.read); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing statements: %w", err), s.Close())
	}
	return s, nil
}

func (s *Store) migrate(ctx context.Context) error {
	provider, err := s.migrator()
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating the store: %w", err)
	}
	return nil
}

func (s *Store) migrator() (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("reading migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.write, files)
	if err != nil {
		return nil, fmt.Errorf("reading migrations: %w", err)
	}
	return provider, nil
}

// Close is safe to call twice; later calls of other methods fail.
func (s *Store) Close() error {
	var errs []error
	for _, q := range []*db.Queries{s.w, s.r} {
		if q != nil {
			errs = append(errs, q.Close())
		}
	}
	for _, h := range []*sql.DB{s.write, s.read} {
		if h != nil {
			errs = append(errs, h.Close())
		}
	}
	return errors.Join(errs...)
}

// Put implements session.Store.
func (s *Store) Put(ctx context.Context, rec session.Session) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("marshalling session %s: %w", rec.ID, err)
	}
	err = s.w.PutSession(ctx, db.PutSessionParams{ID: rec.ID, Owner: rec.Owner, CreatedAt: rec.CreatedAt.UnixNano(), Record: b})
	if err != nil {
		return fmt.Errorf("keeping session %s: %w", rec.ID, err)
	}
	return nil
}

// Get implements session.Store.
func (s *Store) Get(ctx context.Context, id string) (session.Session, error) {
	row, err := s.r.GetSession(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return session.Session{}, session.ErrNotFound
	}
	if err != nil {
		return session.Session{}, fmt.Errorf("reading session %s: %w", id, err)
	}
	return decode(row)
}

// List implements session.Store.
func (s *Store) List(ctx context.Context, owner []byte) ([]session.Session, error) {
	var rows []db.Session
	var err error
	if owner == nil {
		rows, err = s.r.ListSessions(ctx)
	} else {
		rows, err = s.r.ListSessionsByOwner(ctx, owner)
	}
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	list := make([]session.Session, 0, len(rows))
	for _, row := range rows {
		rec, err := decode(row)
		if err != nil {
			return nil, err
		}
		list = append(list, rec)
	}
	return list, nil
}

func decode(row db.Session) (session.Session, error) {
	var rec session.Session
	if err := json.Unmarshal(row.Record, &rec); err != nil {
		return rec, fmt.Errorf("reading the record of session %s: %w", row.ID, err)
	}
	return rec, nil
}

// Delete implements session.Store: the session goes with its events and policy states. An unknown id is no error.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := s.w.DeleteSession(ctx, id); err != nil {
		return fmt.Errorf("deleting session %s: %w", id, err)
	}
	return nil
}

// AppendEvents implements event.Store.
func (s *Store) AppendEvents(ctx context.Context, sessionID string, events []event.Event) (err error) {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	defer func() {
		if err == nil {
			return
		}
		// A context that ends has rolled back already, and database/sql says only that.
		if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
			err = fmt.Errorf("rolled back: %w", ctx.Err())
		}
		if rollbackErr := tx.Rollback(); !errors.Is(rollbackErr, sql.ErrTxDone) {
			err = errors.Join(err, rollbackErr)
		}
	}()
	q := s.w.WithTx(tx)
	for _, e := range events {
		data, err := json.Marshal(e.Data)
		if err != nil {
			return fmt.Errorf("marshalling event %d: %w", e.ID, err)
		}
		if err := q.AppendEvent(ctx, db.AppendEventParams{
			SessionID: sessionID, ID: e.ID, Turn: e.Turn, Time: e.Time.UnixNano(), Type: string(e.Data.Type()), Data: data,
		}); err != nil {
			return fmt.Errorf("inserting event %d: %w", e.ID, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// ReadEvents implements event.Store.
func (s *Store) ReadEvents(ctx context.Context, sessionID string, after int64, limit int) ([]event.Event, error) {
	rows, err := s.r.ReadEvents(ctx, db.ReadEventsParams{SessionID: sessionID, ID: after, Limit: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("selecting: %w", err)
	}
	events := make([]event.Event, len(rows))
	for i, row := range rows {
		data, err := event.Decode(event.Type(row.Type), row.Data)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", row.ID, err)
		}
		events[i] = event.Event{ID: row.ID, Turn: row.Turn, Time: time.Unix(0, row.Time).UTC(), Data: data}
	}
	return events, nil
}

// LastEventID implements event.Store.
func (s *Store) LastEventID(ctx context.Context, sessionID string) (int64, error) {
	id, err := s.r.LastEventID(ctx, sessionID)
	if err != nil {
		return 0, fmt.Errorf("selecting: %w", err)
	}
	return id, nil
}

// PolicyState returns the state that a policy left for a session, nil when there is none.
func (s *Store) PolicyState(ctx context.Context, sessionID, policy string) (json.RawMessage, error) {
	state, err := s.r.GetPolicyState(ctx, db.GetPolicyStateParams{SessionID: sessionID, Policy: policy})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state of policy %s: %w", policy, err)
	}
	return state, nil
}

// PutPolicyState keeps the state of a policy for a session.
func (s *Store) PutPolicyState(ctx context.Context, sessionID, policy string, state json.RawMessage) error {
	if err := s.w.PutPolicyState(ctx, db.PutPolicyStateParams{SessionID: sessionID, Policy: policy, State: state}); err != nil {
		return fmt.Errorf("keeping the state of policy %s: %w", policy, err)
	}
	return nil
}

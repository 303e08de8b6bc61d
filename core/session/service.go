package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
)

// Config bounds what sessions may do. Zero durations take the defaults of New.
type Config struct {
	// Secret keys the HMAC of users' keys: 32 bytes.
	Secret []byte
	// DefaultProvider is used when a launch names none.
	DefaultProvider string
	// LaunchTimeout bounds starting a sandbox with its CLI.
	LaunchTimeout time.Duration
	// ApprovalTimeout is how long an approval stays open before it becomes deny.
	ApprovalTimeout time.Duration
	// InterruptTimeout is how long an interrupted turn may take to end before its sandbox is removed.
	InterruptTimeout time.Duration
	// IdleTimeout frees the sandbox of a session nobody uses; 0 never does. CleanupInterval is how often that is checked.
	IdleTimeout     time.Duration
	CleanupInterval time.Duration
	// Secrets, if any, is told which keys are held, so that no log ever shows one. Each Add has its Remove.
	Secrets Secrets
}

// Service owns all sessions. It is safe for concurrent use.
type Service struct {
	cfg   Config
	store Store
	log   Log
	guard Guard
	boxes Sandboxes
	zap   *zap.Logger

	ctx    context.Context //nolint:containedctx // it ends with the service
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	sessions map[string]*live
	// drops counts the removed sessions.
	drops    int
	draining bool
}

// New returns a Service; call Recover before use and Close at the end.
func New(cfg Config, store Store, log Log, guard Guard, boxes Sandboxes, logger *zap.Logger) (*Service, error) {
	if len(cfg.Secret) < 32 {
		return nil, errors.New("session: the secret must have 32 bytes")
	}
	cfg.LaunchTimeout = orDefault(cfg.LaunchTimeout, time.Minute)
	cfg.ApprovalTimeout = orDefault(cfg.ApprovalTimeout, 5*time.Minute)
	cfg.InterruptTimeout = orDefault(cfg.InterruptTimeout, 10*time.Second)
	cfg.CleanupInterval = orDefault(cfg.CleanupInterval, 5*time.Minute)
	ctx, cancel := context.WithCancel(context.Background())
	return &Service{
		cfg: cfg, store: store, log: log, guard: guard, boxes: boxes, zap: logger,
		ctx: ctx, cancel: cancel, sessions: map[string]*live{},
	}, nil
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}

func (s *Service) owner(key string) []byte {
	mac := hmac.New(sha256.New, s.cfg.Secret)
	mac.Write([]byte(key))
	return mac.Sum(nil)
}

// Launch starts a session and returns when its agent is ready. When it fails, nothing is left of it.
func (s *Service) Launch(ctx context.Context, req LaunchRequest) (Session, error) {
	if req.Key == "" {
		return Session{}, ErrKeyMissing
	}
	rec := Session{
		ID: "conv-" + randomHex(16), AgentID: "agent-" + randomHex(6), ConfigID: req.ConfigID, Config: req.Config, Source: req.Source,
		Provider: req.Provider, Owner: s.owner(req.Key), TranscriptID: uuid.NewString(), Status: StatusStarting,
		CreatedAt: time.Now().UTC(), LastActive: time.Now().UTC(),
	}
	if rec.Provider == "" {
		rec.Provider = s.cfg.DefaultProvider
	}
	if rec.ConfigID == "" {
		rec.ConfigID = "inline-" + randomHex(6)
	}
	if rec.Source == "" {
		rec.Source = SourceInline
	}
	var err error
	if rec.SealedEnv, err = seal(req.Key, rec.ID, req.MCPEnv); err != nil {
		return Session{}, err
	}
	l := newLive(rec, s.cfg.IdleTimeout)
	l.onProgress = req.Progress
	done, err := s.admit(l)
	if err != nil {
		return Session{}, err
	}
	s.hold(l, req.Key)
	defer done()
	if err := s.store.Put(ctx, rec); err != nil {
		s.drop(l)
		// A commit that was cancelled may have happened.
		return Session{}, errors.Join(err, s.store.Delete(context.WithoutCancel(ctx), rec.ID))
	}
	// Before it is in any queue, so that one that is refused takes no place and no spare.
	err = s.permitted(ctx, l)
	if err == nil {
		var release func()
		if release, err = s.acquire(ctx, l, true); err == nil {
			release()
		}
	}
	if err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), freeTimeout)
		defer cancel()
		if cleanupErr := s.remove(cleanup, l); cleanupErr != nil {
			// It goes on, or the record stays behind as stopping: Stop or the next start of the host finishes it.
			s.zap.Error("cleaning up after a failed launch", zap.String("session", rec.ID), zap.Error(cleanupErr))
		}
		return Session{}, fmt.Errorf("launching: %w", err)
	}
	return l.snapshot(), nil
}

// permitted asks the gate of launches. The record is there by now: it is what policies keep their state with.
func (s *Service) permitted(ctx context.Context, l *live) error {
	err := s.guard.Launch(ctx, l.scope(), false)
	if err != nil {
		s.zap.Info("a launch was refused", zap.String("session", l.id), zap.String("config", l.rec.ConfigID), zap.Error(err))
	}
	return err
}

// admit registers a new session unless the host drains, and holds up Close until done is called.
func (s *Service) admit(l *live) (done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil, ErrDraining
	}
	s.sessions[l.id] = l
	s.work.Add(1)
	return s.work.Done, nil
}

// enter holds up Close until leave is called. It fails once the host drains.
func (s *Service) enter() (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil, ErrDraining
	}
	s.work.Add(1)
	return s.work.Done, nil
}

// drop forgets a session that is gone from the store.
func (s *Service) drop(l *live) {
	s.hold(l, "")
	s.mu.Lock()
	delete(s.sessions, l.id)
	s.drops++
	s.mu.Unlock()
	s.log.Forget(l.id)
	l.end()
}

// live returns the session's live end, reading its record at first use.
func (s *Service) live(ctx context.Context, id string) (*live, error) {
	for {
		s.mu.Lock()
		l, draining, drops := s.sessions[id], s.draining, s.drops
		s.mu.Unlock()
		if l != nil {
			return l, nil
		}
		if draining {
			return nil, ErrDraining
		}
		rec, err := s.store.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if l := s.register(rec, drops); l != nil {
			return l, nil
		}
	}
}

// register makes a record live, unless sessions were removed since drops was read: it may be one of them.
func (s *Service) register(rec Session, drops int) *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.sessions[rec.ID]
	if l == nil && s.drops == drops {
		l = newLive(rec, s.cfg.IdleTimeout)
		s.sessions[rec.ID] = l
	}
	return l
}

// Authorize returns the session if key is the one it was launched with, and remembers the key in memory for its next turns.
// It fails with ErrKeyMissing, ErrNotFound or ErrForbidden.
func (s *Service) Authorize(ctx context.Context, id, key string) (Session, error) {
	if key == "" {
		return Session{}, ErrKeyMissing
	}
	l, err := s.live(ctx, id)
	if err != nil {
		return Session{}, err
	}
	if !hmac.Equal(s.owner(key), l.owner) {
		return Session{}, ErrForbidden
	}
	s.hold(l, key)
	return l.snapshot(), nil
}

// hold keeps a session's key in memory, or lets go of it when key is empty. Whoever writes logs is told first.
func (s *Service) hold(l *live, key string) {
	if s.cfg.Secrets != nil && key != "" {
		s.cfg.Secrets.Add(key)
	}
	l.mu.Lock()
	old := l.key
	l.key = key
	l.mu.Unlock()
	if s.cfg.Secrets != nil && old != "" {
		s.cfg.Secrets.Remove(old)
	}
}

// Key returns the user's key while the host holds it, for the model gateway.
func (s *Service) Key(id string) (string, bool) {
	s.mu.Lock()
	l := s.sessions[id]
	s.mu.Unlock()
	if l == nil {
		return "", false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.key, l.key != ""
}

// List returns the sessions launched with key, newest first.
func (s *Service) List(ctx context.Context, key string) ([]Session, error) {
	if key == "" {
		return nil, ErrKeyMissing
	}
	list, err := s.store.List(ctx, s.owner(key))
	if err != nil {
		return nil, err
	}
	for i, rec := range list {
		s.mu.Lock()
		l := s.sessions[rec.ID]
		s.mu.Unlock()
		list[i].Activity = ActivityIdle
		if l != nil {
			list[i] = l.snapshot()
		}
	}
	return list, nil
}

// Get returns one session, or ErrNotFound.
func (s *Service) Get(ctx context.Context, id string) (Session, error) {
	l, err := s.live(ctx, id)
	if err != nil {
		return Session{}, err
	}
	return l.snapshot(), nil
}

// Stop ends a session for good: its sandbox, workspace, transcript and history are gone when it returns nil. It goes on when ctx
// ends, and may be repeated when it fails.
func (s *Service) Stop(ctx context.Context, id string) error {
	l, err := s.live(ctx, id)
	if err != nil {
		return err
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.remove(ctx, l)
}

// Follow replays the events above after and goes on with those to come, until ctx ends or fn fails. It returns nil when the
// session is stopped, and event.ErrShutdown when the host shuts down.
func (s *Service) Follow(ctx context.Context, id string, after int64, deltas bool, fn func(e event.Event, more bool) error) error {
	l, err := s.live(ctx, id)
	if err != nil {
		return err
	}
	// Who comes while the session is being removed may find its log forgotten already, and a new one that nobody ends.
	following, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.life, cancel)()
	err = s.log.Follow(following, id, after, deltas, fn)
	s.forget(l)
	if errors.Is(err, event.ErrClosed) || following.Err() != nil && ctx.Err() == nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// forget drops what a late caller made the log remember of a removed session.
func (s *Service) forget(l *live) {
	if l.life.Err() != nil {
		s.log.Forget(l.id)
	}
}

// History returns up to limit events above after, in order.
func (s *Service) History(ctx context.Context, id string, after int64, limit int) ([]event.Event, error) {
	if _, err := s.live(ctx, id); err != nil {
		return nil, err
	}
	return s.log.Read(ctx, id, after, limit)
}

// Record keeps a verdict that was given outside the turn's own path, such as on a file request.
func (s *Service) Record(ctx context.Context, id string, v event.Verdict) error {
	l, err := s.live(ctx, id)
	if err != nil {
		return err
	}
	_, err = s.log.Append(ctx, id, l.openTurn(), v)
	s.forget(l)
	return err
}

// Scope returns what a guard needs to know of a session.
func (s *Service) Scope(ctx context.Context, id string) (Scope, error) {
	l, err := s.live(ctx, id)
	if err != nil {
		return Scope{}, err
	}
	return l.scope(), nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

package claude

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// maxLine bounds one message of the CLI, in bytes: a frame with some room for what surrounds it.
	maxLine = 8 << 20
	// maxStderr is how much of the CLI's stderr is kept for error messages, in bytes.
	maxStderr = 8 << 10
)

// process is one running CLI.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	mark   string
	log    *zap.Logger
	stderr tail
	work   sync.WaitGroup
	// resumed says that an earlier transcript was taken up.
	resumed bool

	writing chan struct{}
	done    chan struct{}
	exit    error

	mu      sync.Mutex
	turn    *turn
	serial  int
	waiting map[string]chan reply
	asks    map[string]context.CancelFunc
	cost    float64
	told    string
}

type reply struct {
	body json.RawMessage
	err  error
}

// start runs the CLI; receive gets its messages, in order, on one goroutine.
func start(cfg Config, spec agent.SessionSpec, receive func(*process, *turn, message), log *zap.Logger) (*process, error) {
	mark := newMark()
	args, resumed, err := arguments(cfg, spec)
	if err != nil {
		return nil, fmt.Errorf("starting Claude Code: %w", err)
	}
	cmd := exec.Command(cfg.Binary, args...) //nolint:gosec,noctx // the operator's binary; it outlives any request
	cmd.Env = environment(cfg, spec, mark)
	cmd.Dir = spec.Cwd
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := &process{
		cmd: cmd, mark: mark, log: log, resumed: resumed, writing: make(chan struct{}, 1), done: make(chan struct{}),
		waiting: map[string]chan reply{}, asks: map[string]context.CancelFunc{},
	}
	cmd.Stderr = &p.stderr
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting Claude Code: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting Claude Code: %w", err)
	}
	// Its children inherit stderr: without a bound, one that stays would keep Wait waiting.
	cmd.WaitDelay = waitDelay
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting Claude Code: %w", err)
	}
	go func() {
		defer close(p.done)
		readErr := p.read(stdout, receive)
		if readErr != nil {
			log.Error("reading from Claude Code", zap.Error(readErr))
			p.kill()
		}
		p.exit = errors.Join(readErr, cmd.Wait())
		killMarked(mark, cmd.Process.Pid)
		p.abandon()
	}()
	return p, nil
}

// read passes on messages until the CLI closes its stdout.
func (p *process) read(r io.Reader, receive func(*process, *turn, message)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fmt.Errorf("reading a message of Claude Code: %w", err)
		}
		m.raw = lines.Bytes()
		p.mu.Lock()
		t := p.turn
		p.mu.Unlock()
		if m.Type == "control_response" {
			p.answer(m.Response)
			continue
		}
		receive(p, t, m)
	}
	if err := lines.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("reading messages of Claude Code: %w", err)
	}
	return nil
}

// answer hands a control response to the one who waits for it.
func (p *process) answer(raw json.RawMessage) {
	var r struct {
		Subtype   string          `json:"subtype"`
		RequestID string          `json:"request_id"`
		Response  json.RawMessage `json:"response"`
		Error     string          `json:"error"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		p.log.Warn("reading a control response", zap.Error(err))
		return
	}
	p.mu.Lock()
	ch := p.waiting[r.RequestID]
	delete(p.waiting, r.RequestID)
	p.mu.Unlock()
	if ch == nil {
		return
	}
	if r.Subtype != "success" {
		ch <- reply{err: fmt.Errorf("refused by Claude Code: %s", readable(r.Error))}
		return
	}
	ch <- reply{body: r.Response}
}

// request makes a control request and waits for its answer.
func (p *process) request(ctx context.Context, body map[string]any) (json.RawMessage, error) {
	ch := make(chan reply, 1)
	p.mu.Lock()
	p.serial++
	id := "host-" + strconv.Itoa(p.serial)
	p.waiting[id] = ch
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, id)
		p.mu.Unlock()
	}()
	if err := p.send(ctx, map[string]any{"type": "control_request", "request_id": id, "request": body}); err != nil {
		return nil, err
	}
	select {
	case r := <-ch:
		return r.body, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for Claude Code: %w", ctx.Err())
	case <-p.done:
		return nil, p.err()
	}
}

// send writes one message. When ctx ends meanwhile, the pipe is full and the CLI is not reading: the caller should kill it.
func (p *process) send(ctx context.Context, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a message for Claude Code: %w", err)
	}
	select {
	case p.writing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("writing to Claude Code: %w", ctx.Err())
	case <-p.done:
		return p.err()
	}
	written := make(chan error, 1)
	// A blocked write ends when the process does, because that closes the pipe.
	go func() {
		_, err := p.stdin.Write(append(b, '\n'))
		<-p.writing
		written <- err
	}()
	select {
	case err := <-written:
		if err != nil {
			return fmt.Errorf("writing to Claude Code: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("writing to Claude Code: %w", ctx.Err())
	}
}

func (p *process) attach(t *turn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn = t
}

func (p *process) detach() { p.attach(nil) }

func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// err says why the process ended. Only after done.
func (p *process) err() error {
	if p.exit != nil {
		return fmt.Errorf("Claude Code ended: %w", p.exit) //nolint:staticcheck,revive // a name
	}
	return errors.New("Claude Code ended by itself") //nolint:staticcheck,revive // a name
}

// kill ends the CLI and what it started, without waiting.
func (p *process) kill() {
	// The group first: what leads it is still ours to name, because nobody has waited for it.
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.log.Warn("killing Claude Code", zap.Error(err))
	}
}

// abandon ends what waits for a process that is gone.
func (p *process) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cancel := range p.asks {
		cancel()
	}
}

// close kills and waits. It is safe to call twice.
func (p *process) close() {
	if !p.exited() {
		p.kill()
	}
	<-p.done
	p.work.Wait()
}

// lastWords is the end of stderr, ready to be put after an error message.
func (p *process) lastWords() string {
	if s := readable(p.stderr.String()); s != "" {
		return ": " + s
	}
	return ""
}

// tail is a writer that keeps the last maxStderr bytes.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if over := len(t.b) - maxStderr; over > 0 {
		t.b = append([]byte(nil), t.b[over:]...)
	}
	return len(b), nil
}

// String implements fmt.Stringer.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

// readable makes a text from the sandbox fit for a log line: valid, one line, bounded.
func readable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Join(strings.Fields(s), " ")
}

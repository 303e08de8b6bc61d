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
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/offspring"
	"github.com/agcluster/agcluster/core/event"
)

const (
	// drainDelay is how long the output of a CLI that has exited is read on, in case somebody else holds its pipes open.
	drainDelay = 2 * time.Second
	// maxLine bounds one message of the CLI, in bytes: a file that it reads may be in it twice, as base64.
	maxLine = 64 << 20
	// maxStderr is how much of the CLI's stderr is kept for error messages, in bytes.
	maxStderr = 8 << 10
)

// process is one running CLI.
type process struct {
	cmd    *exec.Cmd
	mark   offspring.Mark
	log    *zap.Logger
	stderr tail
	// work counts the hooks that are being answered.
	work sync.WaitGroup
	plan blueprint
	// outdated says that it can't do what its session wants and ends before the next turn. Guarded by Driver.mu.
	outdated bool
	// introduced says that it knows its session; until then it is a spare. Guarded by Driver.one.
	introduced bool

	writes chan write
	// done is closed when the CLI and its children are gone and all that it said has been received; exit says why.
	done chan struct{}
	exit error

	mu      sync.Mutex
	turn    *turn
	serial  int
	waiting map[string]chan reply
	asks    map[string]context.CancelFunc
	// idle is there while the CLI does what belongs to no turn; strays counts how often it has.
	idle   chan struct{}
	strays int
	cost   float64
	told   string
}

// errRefused is an answer of the CLI to a control request that is no success.
var errRefused = errors.New("refused by Claude Code")

type write struct {
	line    []byte
	written chan error
}

type reply struct {
	body json.RawMessage
	err  error
}

// start runs the CLI; receive gets its messages, in order, on one goroutine.
func start(binary string, plan blueprint, receive func(*process, *turn, message), log *zap.Logger) (*process, error) {
	mark := offspring.NewMark()
	cmd := exec.Command(binary, plan.args...) //nolint:noctx // the operator's binary; it outlives any request
	cmd.Env = append(slices.Clone(plan.env), mark.Env())
	cmd.Dir = plan.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := &process{
		cmd: cmd, mark: mark, log: log, plan: plan, writes: make(chan write), done: make(chan struct{}),
		waiting: map[string]chan reply{}, asks: map[string]context.CancelFunc{},
	}
	// Pipes of our own: with those of exec.Cmd, a child that holds one open would hide that the CLI is gone.
	stdin, stdout, stderr, err := p.pipes()
	if err != nil {
		return nil, fmt.Errorf("starting Claude Code: %w", err)
	}
	err = cmd.Start()
	for _, theirs := range []any{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		theirs.(*os.File).Close() //nolint:errcheck // our copy of the CLI's end
	}
	if err != nil {
		for _, ours := range []*os.File{stdin, stdout, stderr} {
			ours.Close() //nolint:errcheck // nothing was sent
		}
		return nil, fmt.Errorf("starting Claude Code: %w", err)
	}
	go p.supervise(stdin, stdout, stderr, receive)
	return p, nil
}

// pipes gives the command its ends and returns ours.
func (p *process) pipes() (stdin, stdout, stderr *os.File, err error) {
	var files []*os.File
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
			files = append(files, r, w)
		}
		return r, w
	}
	inR, inW := pipe()
	outR, outW := pipe()
	errR, errW := pipe()
	if err != nil {
		for _, f := range files {
			f.Close() //nolint:errcheck // nothing was sent; a nil file is fine
		}
		return nil, nil, nil, fmt.Errorf("making a pipe: %w", err)
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inR, outW, errW
	return inW, outR, errR, nil
}

// supervise reads and writes until the CLI ends, and then ends what it left behind.
func (p *process) supervise(stdin, stdout, stderr *os.File, receive func(*process, *turn, message)) {
	defer close(p.done)
	var streams, writer sync.WaitGroup
	var readErr error
	gone := make(chan struct{})
	streams.Go(func() {
		if readErr = p.read(stdout, receive); readErr != nil {
			p.log.Error("reading from Claude Code", zap.Error(readErr))
			p.kill()
		}
	})
	streams.Go(func() { io.Copy(&p.stderr, stderr) }) //nolint:errcheck // what could be read is kept
	writer.Go(func() {
		for {
			select {
			case w := <-p.writes:
				_, err := stdin.Write(w.line)
				w.written <- err
			case <-gone:
				return
			}
		}
	})
	err := p.cmd.Wait()
	close(gone)
	stdin.Close() //nolint:errcheck // nobody reads it any more; this ends a write that waits
	writer.Wait()
	p.mark.Kill(p.cmd.Process.Pid)
	p.abandon()
	late := time.AfterFunc(drainDelay, func() {
		stdout.Close() //nolint:errcheck // only read
		stderr.Close() //nolint:errcheck // only read
	})
	streams.Wait()
	late.Stop()
	stdout.Close() //nolint:errcheck // only read; closing twice is fine
	stderr.Close() //nolint:errcheck // only read; closing twice is fine
	p.exit = errors.Join(readErr, err)
	p.abandon()
}

// read passes on messages until the CLI closes its stdout.
func (p *process) read(r io.Reader, receive func(*process, *turn, message)) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(lines)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("reading messages of Claude Code: %w", err)
		case len(line) == 0:
			continue
		}
		m := message{raw: line}
		if err := json.Unmarshal(line, &m); err != nil {
			return fmt.Errorf("reading a message of Claude Code: %w", err)
		}
		if m.Type == "control_response" {
			p.answer(m.Response)
			continue
		}
		p.mu.Lock()
		t := p.turn
		p.mu.Unlock()
		receive(p, t, m)
	}
}

// readLine reads a line without its end. It is valid until the next call.
func readLine(r *bufio.Reader) ([]byte, error) {
	var long []byte
	for {
		part, err := r.ReadSlice('\n')
		switch {
		case err == nil && long == nil:
			return part[:len(part)-1], nil
		case len(long)+len(part) > maxLine:
			return nil, fmt.Errorf("a message of over %d bytes", maxLine)
		case err == nil:
			return append(long, part[:len(part)-1]...), nil
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part...)
		default:
			return nil, err
		}
	}
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
		ch <- reply{err: fmt.Errorf("%w: %s", errRefused, agent.Line(r.Error))}
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
	w := write{line: append(b, '\n'), written: make(chan error, 1)}
	select {
	case p.writes <- w:
	case <-ctx.Done():
		return fmt.Errorf("writing to Claude Code: %w", ctx.Err())
	case <-p.done:
		return p.err()
	}
	select {
	case err := <-w.written:
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

// expectIdle returns a channel that is closed with the CLI's next result, and whether nobody waits for it yet.
func (p *process) expectIdle() (idle <-chan struct{}, news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle == nil {
		p.idle, news = make(chan struct{}), true
		p.strays++
	}
	return p.idle, news
}

func (p *process) becameIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

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
		return fmt.Errorf("Claude Code ended: %w", p.exit) //nolint:staticcheck // a name
	}
	return errors.New("Claude Code ended by itself") //nolint:staticcheck // a name
}

// kill ends the CLI and what it started, without waiting.
func (p *process) kill() {
	if p.exited() {
		return
	}
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
	p.kill()
	<-p.done
	p.work.Wait()
}

// lastWords is the end of stderr, ready to be put after an error message.
func (p *process) lastWords() string {
	if s := agent.Line(p.stderr.String()); s != "" {
		return ": " + s
	}
	return ""
}

// announce says whether init is news.
func (p *process) announce(init event.Init) bool {
	b, err := json.Marshal(init)
	if err != nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told == string(b) {
		return false
	}
	p.told = string(b)
	return true
}

// spent turns the process's running total into what the turn has cost.
func (p *process) spent(total float64) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	cost := max(total-p.cost, 0)
	p.cost = total
	return cost
}

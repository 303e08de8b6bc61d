package claude

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// fake is a CLI that does what the real one never should. body runs on each message, whose uuid it has in $uuid.
func fake(t *testing.T, body string) *rig {
	t.Helper()
	r := &rig{t: t, cfg: Config{
		Binary: script(t, `
field() { sed -n 's/.*"'$1'":"\([^"]*\)".*/\1/p' <<<"$line"; }
while IFS= read -r line; do
  case "$line" in
  *'"forwardSubagentText"'*)
    echo '{"type":"control_response","response":{"subtype":"success","request_id":"'$(field request_id)'","response":{}}}' ;;
  *'"type":"user"'*)
    uuid=$(field uuid)
    `+body+`
    ;;
  esac
done`),
		Env: map[string]string{"HOME": t.TempDir(), "PATH": os.Getenv("PATH")}, InterruptTimeout: 300 * time.Millisecond,
	}, spec: agent.SessionSpec{TranscriptID: transcript, Cwd: t.TempDir(), PermissionMode: "default"}}
	r.driver = New(r.cfg, zap.NewNop())
	t.Cleanup(r.driver.Close)
	if err := r.driver.Start(t.Context(), r.spec); err != nil {
		t.Fatal(err)
	}
	return r
}

func errorCodes(s *sink) string {
	var codes []string
	for _, e := range of[event.Error](s) {
		codes = append(codes, e.Code)
	}
	return strings.Join(codes, " ")
}

func TestABrokenCLIFailsTheTurn(t *testing.T) {
	for name, c := range map[string]struct{ body, says string }{
		"a hook that is not ours": {`echo '{"type":"control_request","request_id":"r","request":{"subtype":"hook_callback","callback_id":"x","input":{}}}'`, "killed"},
		"a hook without sense":    {`echo '{"type":"control_request","request_id":"r","request":{"subtype":5}}'`, "killed"},
		"an input without sense":  {`echo '{"type":"control_request","request_id":"r","request":{"subtype":"hook_callback","callback_id":"call","input":[]}}'`, "killed"},
		"no JSON":                 {`echo hello`, "reading a message"},
		"a message without end":   {`head -c ` + strconv.Itoa(maxLine+100_000) + ` /dev/zero | tr '\0' x; echo`, "a message of over"},
		"it exits":                {`echo sorry >&2; exit 3`, "exit status 3: sorry"},
		"it exits without error":  {`exit 0`, "ended by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			r := fake(t, c.body)
			s := r.turn(t, "go", event.CompleteFailed, nil)
			if got := of[event.Error](s); len(got) != 1 || got[0].Code != "agent_exited" || !strings.Contains(got[0].Message, c.says) {
				t.Errorf("%+v", got)
			}
			if r.driver.State() != "exited" {
				t.Error("it still runs")
			}
		})
	}
}

func TestAResultCountsOnlyOnceTheMessageWasTakenUp(t *testing.T) {
	r := fake(t, `
    echo '{"type":"result","subtype":"success","num_turns":1}'
    echo '{"type":"user","uuid":"other","isReplay":true,"message":{"content":"x"}}'
    echo '{"type":"result","subtype":"success","num_turns":2}'
    echo '{"type":"user","uuid":"'$uuid'","isReplay":true,"message":{"content":"x"}}'
    echo '{"type":"assistant","message":{"content":[{"type":"text","text":"ours"}]}}'
    echo '{"type":"result","subtype":"success","num_turns":3}'`)
	for range 3 {
		s := newSink(nil)
		if c := r.driver.Turn(t.Context(), "go", nil, s); c.Status != event.CompleteOK || c.Turns != 3 {
			t.Errorf("%+v", c)
		}
		if got := of[event.Text](s); len(got) != 1 || got[0].Content != "ours" {
			t.Errorf("%+v", got)
		}
	}
}

func TestAnInterruptIsEnforced(t *testing.T) {
	r := fake(t, `:`)
	b := r.begin("go", nil)
	close(b.interrupt)
	if c := b.wait(t, patience); c.Status != event.CompleteInterrupted {
		t.Errorf("%+v", c)
	}
}

func TestAContextThatEndsKillsTheCLI(t *testing.T) {
	r := fake(t, `touch begun`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan event.Complete, 1)
	s := newSink(nil)
	go func() { done <- r.driver.Turn(ctx, "go", nil, s) }()
	eventually(t, "it has the message", func() bool { return exists(r.file("begun")) })
	cancel()
	if c := <-done; c.Status != event.CompleteFailed || errorCodes(s) != "agent_exited" {
		t.Errorf("%+v %s", c, errorCodes(s))
	}
	if r.driver.State() != "exited" {
		t.Error("it still runs")
	}
}

// TestAChildThatHoldsThePipesDoesNotHideTheEnd has a child that got rid of the mark which would give it away.
func TestAChildThatHoldsThePipesDoesNotHideTheEnd(t *testing.T) {
	r := fake(t, `env -i PATH="$PATH" setsid sleep 63.25 & echo $! > pid
    while [ "$(cat /proc/$!/comm)" != sleep ]; do :; done; exit 1`)
	s := r.turn(t, "go", event.CompleteFailed, nil)
	if got := errorCodes(s); got != "agent_exited" {
		t.Error(got)
	}
	b, err := os.ReadFile(r.file("pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the child was not there: the test shows nothing (%v)", err)
	}
}

func TestAQuestionThatTheCLITakesBackIsOver(t *testing.T) {
	r := fake(t, `
    echo '{"type":"control_request","request_id":"r","request":{"subtype":"hook_callback","callback_id":"call","input":{"tool_name":"Bash"}}}'
    while [ ! -e asked ]; do sleep 0.01; done
    echo '{"type":"control_cancel_request","request_id":"r"}'
    while [ ! -e over ]; do sleep 0.01; done
    echo '{"type":"result","subtype":"success","num_turns":0}'`)
	r.turn(t, "go", event.CompleteOK, func(ctx context.Context, _ agent.Ask) (agent.Answer, error) {
		r.write("asked", "")
		<-ctx.Done()
		r.write("over", "")
		return agent.Answer{}, ctx.Err()
	})
}

func TestDecideDeniesWhatItCanNotJudge(t *testing.T) {
	live := newTurn(t.Context(), newSink(nil), zap.NewNop())
	defer live.end()
	hook := func(id, input string) string {
		return `{"subtype":"hook_callback","callback_id":"` + id + `","input":` + input + `}`
	}
	big := `"` + strings.Repeat("x", maxAsk) + `"`
	for name, c := range map[string]struct {
		turn   *turn
		raw    string
		broken error
		want   string
	}{
		"no turn":              {nil, hook(hookCall, `{"tool_name":"Bash"}`), nil, "no turn is running"},
		"too many":             {live, hook(hookCall, `{"tool_name":"Bash"}`), errors.New("too many"), "too many"},
		"input no object":      {live, hook(hookCall, `{"tool_name":"Bash","tool_input":"x"}`), nil, "no object"},
		"input too large":      {live, hook(hookCall, `{"tool_name":"Bash","tool_input":{"a":`+big+`}}`), nil, "too large"},
		"output too large":     {live, hook(hookResult, `{"tool_name":"Bash","tool_response":`+big+`}`), nil, "too large"},
		"result, no turn":      {nil, hook(hookResult, `{"tool_name":"Bash","tool_response":{"stdout":"SECRET"}}`), nil, "no turn is running"},
		"permission, no turn":  {nil, `{"subtype":"can_use_tool","tool_name":"Bash","input":{}}`, nil, "no turn is running"},
		"a sane one, for once": {live, hook(hookCall, `{"tool_name":"Bash","permission_mode":"acceptEdits"}`), nil, "allow"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decide(t.Context(), c.turn, []byte(c.raw), c.broken)
			if err != nil || !strings.Contains(toText(t, got), c.want) || strings.Contains(toText(t, got), "SECRET") {
				t.Errorf("%s %v", toText(t, got), err)
			}
		})
	}
	if _, err := decide(t.Context(), live, []byte(`{"subtype":"elicitation"}`), nil); err == nil || errors.Is(err, errHook) {
		t.Errorf("a request that is no hook: %v", err)
	}
}

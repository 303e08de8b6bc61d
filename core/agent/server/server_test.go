package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
)

func TestEveryRouteWantsTheToken(t *testing.T) {
	r := newRig(t, nil, nil).configure(t)
	for _, route := range []string{
		"GET /v1/health", "POST /v1/session", "POST /v1/turns", "POST /v1/turns/interrupt", "POST /v1/asks/x", "GET /v1/files?path=x",
		"PUT /v1/files?path=x", "DELETE /v1/files?path=x", "GET /v1/stat", "GET /v1/tree", "POST /v1/archive", "GET /v1/usage",
		"GET /v1/tunnel", "GET /", "GET /nowhere", "PATCH /v1/health",
	} {
		method, path, _ := strings.Cut(route, " ")
		for name, auth := range map[string]string{
			"none": "", "another": "Bearer another", "part": "Bearer " + token[:5], "more": "Bearer " + token + "x", "empty": "Bearer ",
			"scheme": "Basic " + token, "bare": token,
		} {
			res := r.raw(t, method, path, auth, "{}")
			var f agent.Failure
			if err := json.Unmarshal([]byte(text(t, res)), &f); err != nil || f.Message == "" || res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s with token %s: status %d, %+v, %v", route, name, res.StatusCode, f, err)
			}
		}
	}
}

func TestUnknownRoutesAreFailures(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, route := range []string{"GET /", "GET /v1/session", "DELETE /v1/turns", "GET /v2/health"} {
		method, path, _ := strings.Cut(route, " ")
		res := r.raw(t, method, path, "Bearer "+token, "")
		if body := text(t, res); res.StatusCode != http.StatusNotFound || !strings.Contains(body, `"message":"not found: no route`) {
			t.Errorf("%s: %d %s", route, res.StatusCode, body)
		}
	}
}

func TestBodiesAreChecked(t *testing.T) {
	r := newRig(t, nil, nil)
	for name, c := range map[string]struct {
		path, body string
		status     int
		want       string
	}{
		"unknown field":   {"/v1/session", `{"transcript_id":"x","colour":1}`, http.StatusBadRequest, "colour"},
		"wrong type":      {"/v1/session", `{"max_turns":"x"}`, http.StatusBadRequest, "max_turns"},
		"two values":      {"/v1/turns", `{"turn":1} {}`, http.StatusBadRequest, "more than one"},
		"no JSON":         {"/v1/turns", `hello`, http.StatusBadRequest, "invalid character"},
		"nothing":         {"/v1/asks/x", ``, http.StatusBadRequest, "EOF"},
		"over the limit":  {"/v1/turns", `{"message":"` + strings.Repeat("x", maxBody) + `"}`, http.StatusRequestEntityTooLarge, "over 10485760 bytes"},
		"after no number": {"/v1/turns?after=x", `{"turn":1}`, http.StatusBadRequest, "after"},
		"after negative":  {"/v1/turns?after=-1", `{"turn":1}`, http.StatusBadRequest, "after"},
		"turn 0":          {"/v1/turns", `{"turn":0}`, http.StatusBadRequest, "turn 0"},
	} {
		t.Run(name, func(t *testing.T) {
			res := r.raw(t, http.MethodPost, c.path, "Bearer "+token, c.body)
			if body := text(t, res); res.StatusCode != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%d %s", res.StatusCode, body)
			}
		})
	}
}

func TestConfigure(t *testing.T) {
	t.Run("the same again is no change, another is a conflict", func(t *testing.T) {
		r := newRig(t, nil, nil).configure(t).configure(t)
		other := r.spec()
		other.Model = "opus"
		if err := r.client.Configure(within(t), other); !errors.Is(err, agent.ErrConflict) {
			t.Errorf("%v", err)
		}
		if len(r.driver.started) != 1 {
			t.Errorf("started %d times", len(r.driver.started))
		}
	})
	t.Run("a start that failed may be tried again", func(t *testing.T) {
		r := newRig(t, nil, nil)
		broken := true
		r.driver.start = func(context.Context, agent.SessionSpec) error {
			if broken {
				return errors.New("no claude here")
			}
			return nil
		}
		if err := r.client.Configure(within(t), r.spec()); err == nil || !strings.Contains(err.Error(), "no claude here") {
			t.Errorf("%v", err)
		}
		broken = false
		r.configure(t)
	})
	t.Run("a host that goes away meanwhile finds it done", func(t *testing.T) {
		r := newRig(t, nil, nil)
		began, goOn := make(chan struct{}), make(chan struct{})
		r.driver.start = func(ctx context.Context, _ agent.SessionSpec) error {
			close(began)
			<-goOn
			return ctx.Err()
		}
		ctx, cancel := context.WithCancel(within(t))
		failed := make(chan error, 1)
		go func() { failed <- r.client.Configure(ctx, r.spec()) }()
		receive(t, "start", began)
		cancel()
		if err := receive(t, "answer", failed); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		close(goOn)
		r.configure(t)
		if len(r.driver.started) != 1 {
			t.Errorf("started %d times", len(r.driver.started))
		}
	})
	t.Run("a folder is made", func(t *testing.T) {
		r := newRig(t, nil, nil)
		spec := r.spec()
		spec.Cwd += "/deep/down"
		if err := r.client.Configure(within(t), spec); err != nil {
			t.Fatal(err)
		}
		if e, err := r.client.Stat(within(t), "deep/down"); err != nil || e.Type != agent.EntryDirectory {
			t.Errorf("%+v %v", e, err)
		}
	})
	for name, c := range map[string]struct {
		change func(*agent.SessionSpec)
		want   string
	}{
		"cwd outside":     {func(s *agent.SessionSpec) { s.Cwd = "/etc" }, "cwd"},
		"cwd beside":      {func(s *agent.SessionSpec) { s.Cwd += "2" }, "cwd"},
		"cwd up":          {func(s *agent.SessionSpec) { s.Cwd += "/../x" }, "cwd"},
		"cwd relative":    {func(s *agent.SessionSpec) { s.Cwd = "x" }, "cwd"},
		"no cwd":          {func(s *agent.SessionSpec) { s.Cwd = "" }, "cwd"},
		"permission mode": {func(s *agent.SessionSpec) { s.PermissionMode = "yolo" }, "permission_mode"},
		"max turns":       {func(s *agent.SessionSpec) { s.MaxTurns = -1 }, "max_turns"},
		"two prompts":     {func(s *agent.SessionSpec) { s.SystemPrompt = agent.SystemPrompt{Replace: "a", Append: "b"} }, "system_prompt"},
		"env":             {func(s *agent.SessionSpec) { s.Env = map[string]string{"A=B": ""} }, "env"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			spec := r.spec()
			c.change(&spec)
			if err := r.client.Configure(within(t), spec); !errors.Is(err, agent.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			if len(r.driver.started) != 0 {
				t.Error("it was started")
			}
		})
	}
}

func TestASpareIsPreparedUntilASessionHasTheSandbox(t *testing.T) {
	r := newRig(t, nil, nil)
	spec := r.spec()
	spec.SystemPrompt.Append = "told late"
	if err := r.client.Prepare(within(t), spec); err != nil {
		t.Fatal(err)
	}
	if len(r.driver.prepared) != 1 || r.driver.prepared[0].SystemPrompt.Append != "" || len(r.driver.started) != 0 {
		t.Errorf("prepared %+v, started %+v", r.driver.prepared, r.driver.started)
	}
	r.configure(t)
	if err := r.client.Prepare(within(t), spec); !errors.Is(err, agent.ErrConflict) {
		t.Errorf("%v", err)
	}
	spec.PermissionMode = "yolo"
	if err := newRig(t, nil, nil).client.Prepare(within(t), spec); !errors.Is(err, agent.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestHealth(t *testing.T) {
	r := newRig(t, untilInterrupted, nil)
	h, err := r.client.Health(within(t))
	if err != nil || h != (agent.Health{Status: "ok", Version: "test", CLI: "running"}) {
		t.Errorf("%+v %v", h, err)
	}
}

func TestNewRefusesWhatCanNotWork(t *testing.T) {
	for _, cfg := range []Config{{}, {Token: "x", AskTimeout: -1}, {Token: "x", AskTimeout: MaxAskTimeout + 1}} {
		if _, err := New(cfg, &fakeDriver{}, nil, NewTunnel(0, zap.NewNop()), zap.NewNop()); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func TestUsage(t *testing.T) {
	r := newRig(t, nil, nil)
	fillFile(t, filepath.Join(r.dir, "x"), 1)
	u, err := r.client.Usage(within(t))
	if err != nil || u.MemoryBytes == 0 || u.CPUMicros == 0 || u.Processes == 0 || u.DiskBytes == 0 || u.DiskLimit != 0 {
		t.Errorf("%+v %v", u, err)
	}
}

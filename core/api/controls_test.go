package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/session"
)

func (f *fake) Change(_ context.Context, _ string, c session.Change) (session.Session, error) {
	if f.err != nil {
		return session.Session{}, f.err
	}
	f.changes = append(f.changes, c)
	rec := f.rec
	if c.Model != nil {
		rec.Config.Model = *c.Model
	}
	return rec, nil
}

func (f *fake) Commands(context.Context, string) ([]agent.Command, error) { return f.commands, f.err }

func TestChangingASession(t *testing.T) {
	for _, c := range []struct {
		name, body string
		err        error
		status     int
		says       string
	}{
		{"the model", `{"model":"opus"}`, nil, 200, `"model":"opus"`},
		{"the CLI's model", `{"model":""}`, nil, 200, `"session_id":"conv-1"`},
		{"the mode", `{"permission_mode":"plan"}`, nil, 200, `"session_id":"conv-1"`},
		{"nothing", `{}`, nil, 422, "model or permission_mode is needed"},
		{"a mode that is none", `{"permission_mode":"dance"}`, nil, 422, "body.permission_mode"},
		{"a model that is none", `{"model":"a b"}`, nil, 422, "body.model"},
		{"something else", `{"model":"opus","tools":[]}`, nil, 422, "tools"},
		{"what Claude Code refuses", `{"model":"opus"}`, fmt.Errorf("%w: no such model", agent.ErrInvalid), 422, "no such model"},
		{"a session that is stopped", `{"model":"opus"}`, session.ErrStopping, 409, "being stopped"},
		{"a sandbox that is gone", `{"model":"opus"}`, agent.ErrGone, 503, "try again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{rec: session.Session{ID: "conv-1"}, err: c.err}
			req, err := http.NewRequest(http.MethodPatch, serve(t, f).URL+"/api/agents/sessions/conv-1", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer sk-ant-x")
			req.Header.Set("Content-Type", "application/json")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			b, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != c.status || !strings.Contains(string(b), c.says) {
				t.Errorf("%d %s (%v)", res.StatusCode, b, err)
			}
			if want := res.StatusCode == 200; (len(f.changes) == 1) != want {
				t.Errorf("changed %v", f.changes)
			}
		})
	}
}

func TestCommandsOfASession(t *testing.T) {
	f := &fake{rec: session.Session{ID: "conv-1"}}
	url := serve(t, f).URL + "/api/agents/conv-1/commands"
	for _, c := range []struct {
		list   []agent.Command
		err    error
		status int
		want   string
	}{
		{nil, nil, 200, `{"commands":[],"total":0}`},
		{
			[]agent.Command{{Name: "compact", Description: "Makes room", ArgumentHint: "[x]"}},
			nil, 200,
			`{"commands":[{"name":"compact","description":"Makes room","argument_hint":"[x]"}],"total":1}`,
		},
		{nil, errors.Join(agent.ErrGone, errors.New("x")), 503, "try again"},
	} {
		f.commands, f.err = c.list, c.err
		res := get(t, url)
		if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != c.status || !strings.Contains(string(b), c.want) {
			t.Errorf("%d %s (%v)", res.StatusCode, b, err)
		}
	}
}

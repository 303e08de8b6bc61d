package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is far more than anything here takes.
const limit = time.Minute

// connect serves cfg over gRPC in this process, as Serve does, and returns the host's side.
func connect(t *testing.T, cfg ServeConfig) *Client {
	t.Helper()
	base := &baseServer{cfg: &cfg}
	server := grpc.NewServer(serverOptions(base)...)
	register(server, base)
	l := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///plugin", append(ClientOptions(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return NewClient(conn)
}

func configured(t *testing.T, cfg ServeConfig) *Client {
	t.Helper()
	c := connect(t, cfg)
	if err := c.Base.Configure(t.Context(), ConfigureRequest{}); err != nil {
		t.Fatal(err)
	}
	return c
}

// fakeFilter answers with what its fields do.
type fakeFilter struct {
	call   func(context.Context, Call) (Outcome, error)
	result func(context.Context, Result) (Outcome, error)
}

func (f fakeFilter) FilterCall(ctx context.Context, c Call) (Outcome, error) { return f.call(ctx, c) }

func (f fakeFilter) FilterResult(ctx context.Context, r Result) (Outcome, error) {
	return f.result(ctx, r)
}

func failing(err error) ServeConfig {
	return ServeConfig{Filter: fakeFilter{call: func(context.Context, Call) (Outcome, error) { return Outcome{}, err }}}
}

func TestWhatAnErrorMeansSurvivesTheWire(t *testing.T) {
	plain := errors.New("the disk is full")
	for name, c := range map[string]struct {
		err       error
		is        error
		permanent bool
		text      string
	}{
		"plain":               {plain, nil, false, "the disk is full"},
		"permanent":           {Permanent(plain), nil, true, "the disk is full"},
		"wrapped permanent":   {fmt.Errorf("creating x: %w", Permanent(plain)), nil, true, "creating x: the disk is full"},
		"not found":           {fmt.Errorf("sandbox x: %w", ErrNotFound), ErrNotFound, false, "sandbox x: not found"},
		"permanent not found": {Permanent(ErrNotFound), ErrNotFound, true, "not found"},
		"unimplemented":       {ErrUnimplemented, ErrUnimplemented, false, "not implemented"},
		"deadline":            {fmt.Errorf("asking: %w", context.DeadlineExceeded), context.DeadlineExceeded, false, "asking"},
		"a status of its own": {status.Error(codes.Unavailable, "their backend is down"), nil, false, "their backend is down"},
		"no UTF-8":            {Permanent(errors.New("bad \xff name")), nil, true, "bad \uFFFD name"},
		"very long":           {Permanent(errors.New(strings.Repeat("x", 5<<20))), nil, true, "xxx"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := configured(t, failing(c.err)).Filter.FilterCall(t.Context(), Call{})
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %.200v, want %q in it", err, c.text)
			}
			if IsPermanent(err) != c.permanent {
				t.Errorf("permanent is %v", !c.permanent)
			}
			for _, sentinel := range []error{ErrNotFound, ErrUnimplemented, ErrPluginExited, context.Canceled, context.DeadlineExceeded} {
				if got, want := errors.Is(err, sentinel), errors.Is(c.is, sentinel); got != want {
					t.Errorf("errors.Is(err, %v) is %v", sentinel, got)
				}
			}
		})
	}
	if Permanent(nil) != nil {
		t.Error("no error can't be permanent")
	}
}

func TestAPluginThatIsGoneIsOneSentinel(t *testing.T) {
	l := bufconn.Listen(1 << 10)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(conn)
	if _, err := c.Filter.FilterCall(t.Context(), Call{}); !errors.Is(err, ErrPluginExited) {
		t.Errorf("no listener: got %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Filter.FilterCall(t.Context(), Call{}); !errors.Is(err, ErrPluginExited) {
		t.Errorf("closed connection: got %v", err)
	}
}

func TestACancelledCallEndsOnBothSides(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	c := configured(t, ServeConfig{Filter: fakeFilter{call: func(ctx context.Context, _ Call) (Outcome, error) {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return Outcome{}, ctx.Err()
	}}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	if _, err := c.Filter.FilterCall(ctx, Call{}); !errors.Is(err, context.Canceled) || errors.Is(err, ErrPluginExited) {
		t.Errorf("got %v", err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the plugin saw %v", err)
		}
	case <-time.After(limit):
		t.Error("the plugin was not told")
	}
}

func TestDescribeAndConfigure(t *testing.T) {
	want := Description{
		Name: "x", Version: "1.2.3", Kind: KindFilter, Capabilities: []string{"a", "b"}, OptionsSchema: json.RawMessage(`{"type":"object"}`),
	}
	sent := ConfigureRequest{HostID: "h", DataDir: "/d", RunDir: "/r", Options: json.RawMessage(`{"a":1}`)}
	var got ConfigureRequest
	c := connect(t, ServeConfig{Description: want, Filter: fakeFilter{}, Configure: func(_ context.Context, req ConfigureRequest) error {
		got = req
		return nil
	}})
	if d, err := c.Base.Describe(t.Context()); err != nil || !reflect.DeepEqual(d, want) {
		t.Errorf("Describe: got %+v, %v", d, err)
	}
	if _, err := c.Filter.FilterCall(t.Context(), Call{}); err == nil || !strings.Contains(err.Error(), "not configured") {
		t.Errorf("a call before Configure: got %v", err)
	}
	if err := c.Base.Configure(t.Context(), sent); err != nil || !reflect.DeepEqual(got, sent) {
		t.Errorf("Configure: got %+v, %v", got, err)
	}
	if err := c.Base.Configure(t.Context(), sent); err == nil || !IsPermanent(err) {
		t.Errorf("Configure again: got %v", err)
	}
}

func TestAPluginWhoseConfigurationFailedAnswersNothing(t *testing.T) {
	c := connect(t, ServeConfig{Filter: fakeFilter{}, Configure: func(context.Context, ConfigureRequest) error { return errors.New("no") }})
	if err := c.Base.Configure(t.Context(), ConfigureRequest{}); err == nil || err.Error() != "no" {
		t.Errorf("got %v", err)
	}
	if _, err := c.Filter.FilterCall(t.Context(), Call{}); err == nil || !strings.Contains(err.Error(), "not configured") {
		t.Errorf("got %v", err)
	}
}

func TestAStreamBeforeConfigureIsRefused(t *testing.T) {
	c := connect(t, ServeConfig{Exporter: exporterFunc(copying)})
	err := c.Exporter.Export(t.Context(), ExportRequest{}, strings.NewReader("x"), ignore, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "not configured") {
		t.Errorf("got %v", err)
	}
}

func TestAPluginWithoutOptionsTakesNone(t *testing.T) {
	for options, ok := range map[string]bool{"": true, " {} ": true, "null": true, `{"a":1}`: false, "x": false} {
		err := connect(t, failing(nil)).Base.Configure(t.Context(), ConfigureRequest{Options: json.RawMessage(options)})
		if (err == nil) != ok {
			t.Errorf("%q: got %v", options, err)
		}
	}
}

func TestFilterFieldsSurviveTheWire(t *testing.T) {
	call := Call{SessionID: "s", ToolUseID: "t", Tool: "Bash", Parent: "p", Input: json.RawMessage(`{"a":"é"}`)}
	result := Result{Call: call, Output: json.RawMessage(`[1]`), IsError: true}
	var gotCall Call
	var gotResult Result
	c := configured(t, ServeConfig{Filter: fakeFilter{
		call: func(_ context.Context, c Call) (Outcome, error) {
			gotCall = c
			return Outcome{Decision: Ask, Reason: "why \xff"}, nil
		},
		result: func(_ context.Context, r Result) (Outcome, error) {
			gotResult = r
			return Outcome{Decision: Rewrite, Reason: "r", Replacement: json.RawMessage(`"x"`)}, nil
		},
	}})
	out, err := c.Filter.FilterCall(t.Context(), call)
	if err != nil || out.Decision != Ask || out.Reason != "why \uFFFD" || !reflect.DeepEqual(gotCall, call) {
		t.Errorf("call: got %+v, %+v, %v", out, gotCall, err)
	}
	out, err = c.Filter.FilterResult(t.Context(), result)
	if err != nil || !reflect.DeepEqual(out, Outcome{Decision: Rewrite, Reason: "r", Replacement: json.RawMessage(`"x"`)}) || !reflect.DeepEqual(gotResult, result) {
		t.Errorf("result: got %+v, %+v, %v", out, gotResult, err)
	}
}

func TestWhatIsNoOutcomeIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		out          Outcome
		call, result bool
	}{
		"pass":                      {Outcome{Decision: Pass}, true, true},
		"deny":                      {Outcome{Decision: Deny}, true, true},
		"ask":                       {Outcome{Decision: Ask}, true, false},
		"rewrite":                   {Outcome{Decision: Rewrite, Replacement: json.RawMessage(`{}`)}, true, true},
		"rewrite without a text":    {Outcome{Decision: Rewrite}, false, false},
		"rewrite with broken JSON":  {Outcome{Decision: Rewrite, Replacement: json.RawMessage(`{`)}, false, false},
		"nothing":                   {Outcome{}, false, false},
		"an unknown decision":       {Outcome{Decision: "allow"}, false, false},
		"a decision in capitals":    {Outcome{Decision: "PASS"}, false, false},
		"a decision with a newline": {Outcome{Decision: "pass\n"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := configured(t, ServeConfig{Filter: fakeFilter{
				call:   func(context.Context, Call) (Outcome, error) { return c.out, nil },
				result: func(context.Context, Result) (Outcome, error) { return c.out, nil },
			}}).Filter
			if _, err := f.FilterCall(t.Context(), Call{}); (err == nil) != c.call {
				t.Errorf("call: got %v", err)
			}
			if _, err := f.FilterResult(t.Context(), Result{}); (err == nil) != c.result {
				t.Errorf("result: got %v", err)
			}
		})
	}
}

func TestMessagesOfTheDocumentedSizePassAndLargerOnesAreErrors(t *testing.T) {
	quoted := func(n int) json.RawMessage {
		return json.RawMessage(`"` + strings.Repeat("x", n-2) + `"`)
	}
	f := configured(t, ServeConfig{Filter: fakeFilter{result: func(_ context.Context, r Result) (Outcome, error) {
		return Outcome{Decision: Rewrite, Replacement: r.Output}, nil
	}}}).Filter
	sent := Result{Call: Call{Input: quoted(1 << 20)}, Output: quoted(8 << 20)}
	out, err := f.FilterResult(t.Context(), sent)
	if err != nil || !bytes.Equal(out.Replacement, sent.Output) {
		t.Errorf("got %d bytes, %v", len(out.Replacement), err)
	}
	if _, err := f.FilterResult(t.Context(), Result{Output: quoted(17 << 20)}); err == nil || errors.Is(err, ErrPluginExited) {
		t.Errorf("got %v", err)
	}
}

type fakeProvider struct {
	create  CreateRequest
	get     GetRequest
	list    ListRequest
	destroy DestroyRequest
	sandbox Sandbox
}

func (p *fakeProvider) Create(_ context.Context, r CreateRequest) (Sandbox, error) {
	p.create = r
	return p.sandbox, nil
}

func (p *fakeProvider) Get(_ context.Context, r GetRequest) (Sandbox, error) {
	p.get = r
	return p.sandbox, nil
}

func (p *fakeProvider) List(_ context.Context, r ListRequest) (ListResponse, error) {
	p.list = r
	return ListResponse{Sandboxes: []Sandbox{p.sandbox, {ID: "b"}}}, nil
}

func (p *fakeProvider) Destroy(_ context.Context, r DestroyRequest) error {
	p.destroy = r
	return nil
}

func TestProviderFieldsSurviveTheWire(t *testing.T) {
	labels := map[string]string{"host": "h"}
	p := &fakeProvider{sandbox: Sandbox{
		ID: "a", Labels: labels, State: StateExited, Limits: map[string]string{"memory": "4 GiB"}, Detail: "out of memory",
		Endpoint: Endpoint{URL: "unix:/x", Headers: map[string]string{"X": "y"}},
	}}
	c := configured(t, ServeConfig{Provider: p}).Provider
	create := CreateRequest{
		ID: "a", Labels: labels, Volume: "v", Image: "i", Env: map[string]string{"A": "b"}, Token: "t",
		Resources: Resources{MilliCPU: 1, MemoryBytes: 2, DiskBytes: 3, PIDs: 4},
	}
	if got, err := c.Create(t.Context(), create); err != nil || !reflect.DeepEqual(got, p.sandbox) || !reflect.DeepEqual(p.create, create) {
		t.Errorf("Create: got %+v, %+v, %v", got, p.create, err)
	}
	if got, err := c.Get(t.Context(), GetRequest{ID: "a"}); err != nil || !reflect.DeepEqual(got, p.sandbox) || p.get.ID != "a" {
		t.Errorf("Get: got %+v, %+v, %v", got, p.get, err)
	}
	got, err := c.List(t.Context(), ListRequest{Labels: labels})
	if err != nil || len(got.Sandboxes) != 2 || !reflect.DeepEqual(got.Sandboxes[0], p.sandbox) || !reflect.DeepEqual(p.list.Labels, labels) {
		t.Errorf("List: got %+v, %+v, %v", got, p.list, err)
	}
	if err := c.Destroy(t.Context(), DestroyRequest{ID: "a", Volume: "v"}); err != nil || p.destroy != (DestroyRequest{ID: "a", Volume: "v"}) {
		t.Errorf("Destroy: got %+v, %v", p.destroy, err)
	}
}

func TestAServiceThatIsNotThereIsUnimplemented(t *testing.T) {
	if _, err := configured(t, failing(nil)).Provider.Get(t.Context(), GetRequest{ID: "x"}); !errors.Is(err, ErrUnimplemented) {
		t.Errorf("got %v", err)
	}
}

func TestServeRefusesWhatIsNotOnePlugin(t *testing.T) {
	for name, cfg := range map[string]ServeConfig{
		"nothing":         {Description: Description{Kind: KindFilter}},
		"no kind":         {Filter: fakeFilter{}},
		"another kind":    {Description: Description{Kind: KindExporter}, Filter: fakeFilter{}},
		"two kinds":       {Description: Description{Kind: KindFilter}, Filter: fakeFilter{}, Provider: &fakeProvider{}},
		"an unknown kind": {Description: Description{Kind: "x"}, Filter: fakeFilter{}},
	} {
		if err := Serve(cfg); err == nil {
			t.Errorf("%s: it must be refused", name)
		}
	}
}

func TestAListSelectsByAllOfItsLabels(t *testing.T) {
	labels := map[string]string{"host": "a", "session": ""}
	for _, c := range []struct {
		wanted map[string]string
		want   bool
	}{
		{nil, true},
		{map[string]string{"host": "a"}, true},
		{map[string]string{"host": "a", "session": ""}, true},
		{map[string]string{"host": "b"}, false},
		{map[string]string{"generation": ""}, false},
		{map[string]string{"host": "a", "generation": "1"}, false},
	} {
		if got := (ListRequest{Labels: c.wanted}).Selects(labels); got != c.want {
			t.Errorf("%v of %v: %v", c.wanted, labels, got)
		}
	}
}

package plugintest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agcluster/agcluster/plugins/sdk"
	"github.com/agcluster/agcluster/plugins/sdk/plugintest"
)

// badVar names the implementation on which this binary, started again, runs a kit.
const badVar = "AGCLUSTER_TEST_BAD"

type filterFunc func(sdk.Result) sdk.Outcome

func (f filterFunc) FilterCall(_ context.Context, c sdk.Call) (sdk.Outcome, error) {
	return f(sdk.Result{Call: c, Output: c.Input}), nil
}

func (f filterFunc) FilterResult(_ context.Context, r sdk.Result) (sdk.Outcome, error) {
	return f(r), nil
}

type exporterFunc func(context.Context, io.Reader, func(sdk.ExportHeader) error, io.Writer) error

func (f exporterFunc) Export(ctx context.Context, _ sdk.ExportRequest, tar io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error {
	return f(ctx, tar, begin, out)
}

// provider keeps sandboxes in a map, with one fault.
type provider struct {
	fault string
	mu    sync.Mutex
	boxes map[string]sdk.Sandbox
	n     int
	// said are the lines of each sandbox; changed is closed and replaced when there are more, or fewer sandboxes.
	said    map[string][]string
	changed chan struct{}
}

func (p *provider) Create(ctx context.Context, req sdk.CreateRequest) (sdk.Sandbox, error) {
	if p.fault != "takes any id" && !regexp.MustCompile(`^[a-z0-9-]{1,63}$`).MatchString(req.ID) {
		return sdk.Sandbox{}, sdk.Permanent(errors.New("no id"))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if box, ok := p.boxes[req.ID]; ok && p.fault != "is not idempotent" {
		return box, nil
	}
	if ctx.Err() != nil && p.fault != "ignores its caller" {
		return sdk.Sandbox{}, ctx.Err()
	}
	p.n++
	box := sdk.Sandbox{
		ID: req.ID, Labels: maps.Clone(req.Labels), State: sdk.StateRunning, Endpoint: sdk.Endpoint{URL: "https://" + req.ID + strings.Repeat("x", p.n) + ".test"},
		Limits: map[string]string{"memory": "x", "cpu": "x", "pids": "x", "disk": "x"},
	}
	switch p.fault {
	case "has a plain endpoint":
		box.Endpoint.URL = "http://10.0.0.1"
	case "tells no limits":
		box.Limits = nil
	case "loses labels":
		box.Labels = nil
	}
	p.boxes[req.ID] = box
	return box, nil
}

func (p *provider) Get(_ context.Context, req sdk.GetRequest) (sdk.Sandbox, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	box, ok := p.boxes[req.ID]
	switch {
	case !ok && p.fault == "has its own not found":
		return box, errors.New("no such sandbox")
	case !ok:
		return box, sdk.ErrNotFound
	}
	return box, nil
}

func (p *provider) List(_ context.Context, req sdk.ListRequest) (out sdk.ListResponse, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, box := range p.boxes {
		if req.Selects(box.Labels) || p.fault == "lists everything" {
			out.Sandboxes = append(out.Sandboxes, box)
		}
	}
	return out, nil
}

func (p *provider) Destroy(_ context.Context, req sdk.DestroyRequest) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.boxes[req.ID]; !ok && req.ID != "" && p.fault == "can't destroy twice" {
		return sdk.ErrNotFound
	}
	if p.fault != "forgets to destroy" {
		delete(p.boxes, req.ID)
	}
	p.notify()
	return nil
}

// notify needs mu.
func (p *provider) notify() {
	if p.changed != nil {
		close(p.changed)
	}
	p.changed = make(chan struct{})
}

func (p *provider) say(ep sdk.Endpoint, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, box := range p.boxes {
		if box.Endpoint.URL == ep.URL {
			p.said[id] = append(p.said[id], line[:min(len(line), 16<<10)])
			p.notify()
		}
	}
}

func (p *provider) state(id string) (said []string, changed chan struct{}, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok = p.boxes[id]
	return p.said[id], p.changed, ok
}

// measuring is a provider with the capability stats, with its faults.
type measuring struct{ *provider }

func (m measuring) Stats(ctx context.Context, req sdk.StatsRequest, fn func(sdk.Stats) error) error {
	for n := int64(1); ; n++ {
		_, changed, ok := m.state(req.ID)
		if !ok && (m.fault != "measures what is gone" || n > 3) {
			return sdk.ErrNotFound
		}
		s := sdk.Stats{Time: time.Unix(n, 0), CPUMicros: n, MemoryBytes: 1, PIDs: 1, DiskBytes: -1}
		switch m.fault {
		case "goes back in time":
			s.CPUMicros = -n / 2
		case "measures nonsense":
			s.DiskBytes = -5
		}
		err := fn(s)
		if m.fault == "ignores who has enough" {
			err = nil
		}
		if err != nil || req.Interval == 0 && m.fault != "measures twice" || n > 4 {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond): // what the platform measures anew
		}
	}
}

// telling is a provider with the capability logs, with its faults.
type telling struct{ *provider }

func (l telling) Logs(ctx context.Context, req sdk.LogsRequest, fn func(sdk.LogLine) error) error {
	said, changed, ok := l.state(req.ID)
	if !ok {
		return sdk.ErrNotFound
	}
	next := 0
	if req.Tail > 0 && l.fault != "tells all" {
		next = max(0, len(said)-req.Tail)
	}
	for {
		for ; next < len(said); next++ {
			line := sdk.LogLine{Stream: "stderr", Text: said[next]}
			if l.fault == "tells ends of lines" {
				line.Text += "\n"
			}
			if err := fn(line); err != nil {
				return err
			}
		}
		if !req.Follow || l.fault == "does not follow" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		if said, changed, ok = l.state(req.ID); !ok {
			if l.fault == "fails when it is gone" {
				return sdk.ErrNotFound
			}
			return nil
		}
	}
}

// pulling is a provider with the capability pull, with its faults.
type pulling struct{ *provider }

func (p pulling) Pull(_ context.Context, req sdk.PullRequest, fn func(sdk.PullProgress) error) error {
	if req.Image == "kit-missing" && p.fault != "pulls anything" {
		return sdk.Permanent(errors.New("build it"))
	}
	return fn(sdk.PullProgress{Status: "done"})
}

func header() sdk.ExportHeader {
	return sdk.ExportHeader{FileName: "a.tar", MediaType: "application/x-tar"}
}

func copying(_ context.Context, tar io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error {
	if err := begin(header()); err != nil {
		return err
	}
	_, err := io.Copy(out, tar)
	return err
}

// bad runs the kit that goes with a name on an implementation with the fault of that name.
func bad(t *testing.T, name string) {
	kind, fault, _ := strings.Cut(name, " that ")
	rewrite := sdk.Outcome{Decision: sdk.Rewrite, Replacement: json.RawMessage(`[]`)}
	filters := map[string]filterFunc{
		"answers nothing":       func(sdk.Result) sdk.Outcome { return sdk.Outcome{} },
		"denies without reason": func(sdk.Result) sdk.Outcome { return sdk.Outcome{Decision: sdk.Deny} },
		"gives two lines":       func(sdk.Result) sdk.Outcome { return sdk.Outcome{Decision: sdk.Deny, Reason: "a\nb"} },
		"asks for results":      func(sdk.Result) sdk.Outcome { return sdk.Outcome{Decision: sdk.Ask, Reason: "x"} },
		"passes a replacement": func(sdk.Result) sdk.Outcome {
			return sdk.Outcome{Decision: sdk.Pass, Replacement: json.RawMessage(`{}`)}
		},
		"makes an input a list": func(sdk.Result) sdk.Outcome { return rewrite },
		"replaces with no JSON": func(sdk.Result) sdk.Outcome {
			return sdk.Outcome{Decision: sdk.Rewrite, Replacement: json.RawMessage(`{`)}
		},
		"changes what it is given": func(r sdk.Result) sdk.Outcome {
			r.Output[0] = ' '
			return sdk.Outcome{Decision: sdk.Pass}
		},
	}
	exporters := map[string]exporterFunc{
		"begins twice": func(ctx context.Context, tar io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error {
			return errors.Join(begin(header()), copying(ctx, tar, begin, out))
		},
		"begins late": func(_ context.Context, tar io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error {
			_, err := io.Copy(out, tar)
			return errors.Join(err, begin(header()))
		},
		"names no file": func(_ context.Context, tar io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error {
			_, err := io.Copy(out, tar)
			return errors.Join(begin(sdk.ExportHeader{}), err)
		},
		"takes anything for a tar": copying,
		"hoards": func(_ context.Context, tar io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error {
			all, err := io.ReadAll(tar)
			if err != nil {
				return err
			}
			if err := begin(header()); err != nil {
				return err
			}
			for rest := bytes.NewBuffer(all); rest.Len() > 0; {
				if _, err := out.Write(rest.Next(1 << 20)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	switch kind {
	case "a filter":
		plugintest.TestFilter(t, filters[fault])
	case "an exporter":
		plugintest.TestExporter(t, plugintest.ExporterHarness{Exporter: exporters[fault]})
	case "a provider", "a measuring provider", "a telling provider", "a pulling provider", "a secretive provider":
		p := &provider{fault: fault, boxes: map[string]sdk.Sandbox{}, said: map[string][]string{}, changed: make(chan struct{})}
		is := map[string]sdk.Provider{
			"a provider": p, "a measuring provider": measuring{p}, "a telling provider": telling{p}, "a pulling provider": pulling{p},
			"a secretive provider": measuring{p},
		}[kind]
		has := map[string][]string{"a measuring provider": {"stats"}, "a telling provider": {"logs"}, "a pulling provider": {"pull"}}[kind]
		plugintest.TestProvider(t, plugintest.ProviderHarness{
			Provider: is, Capabilities: has, MissingImage: "kit-missing", Image: "kit",
			Say: func(_ context.Context, ep sdk.Endpoint, line string) error { p.say(ep, line); return nil },
			NewRequest: func(id string) sdk.CreateRequest {
				return sdk.CreateRequest{ID: id, Volume: "vol-" + id, Token: "t", Labels: map[string]string{"host": "h", "session": id}}
			},
			Dial: func(_ context.Context, ep sdk.Endpoint) error {
				p.mu.Lock()
				defer p.mu.Unlock()
				for _, box := range p.boxes {
					if box.Endpoint.URL == ep.URL {
						return nil
					}
				}
				return errors.New("nobody answers")
			},
			Run: func(context.Context, sdk.Endpoint, string) (string, error) { return "", nil },
		})
	}
}

func TestBad(t *testing.T) {
	if name := os.Getenv(badVar); name != "" {
		bad(t, name)
	}
}

// TestAFaultlessCapabilityPasses: the faults above are what the kit finds, and nothing else. Volumes these providers have none.
func TestAFaultlessCapabilityPasses(t *testing.T) {
	for _, kind := range []string{"a measuring provider", "a telling provider", "a pulling provider"} {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run", "^TestBad$/^(stats|logs|pull)$", "-test.v")
			cmd.Env = append(os.Environ(), badVar+"="+kind+" that has no fault")
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: TestBad/stats") {
				t.Errorf("got %v\n%.3000s", err, out)
			}
		})
	}
}

// TestTheKitsFindFaults: a kit that finds nothing proves nothing.
func TestTheKitsFindFaults(t *testing.T) {
	for name, want := range map[string]string{
		"a filter that answers nothing":             "is no decision",
		"a filter that denies without reason":       "deny needs a reason",
		"a filter that gives two lines":             "is not one line",
		"a filter that asks for results":            "a result can't be asked for",
		"a filter that passes a replacement":        "pass has a replacement",
		"a filter that makes an input a list":       "the replacement of an input must be an object",
		"a filter that replaces with no JSON":       "a rewrite needs a valid replacement",
		"a filter that changes what it is given":    "it has changed the",
		"an exporter that begins twice":             "begin was called 2 times",
		"an exporter that begins late":              "it writes before it has begun",
		"an exporter that names no file":            "want a plain file name",
		"an exporter that takes anything for a tar": "it must fail",
		"an exporter that hoards":                   "MiB of memory",
		"a provider that takes any id":              "want a Permanent error",
		"a provider that is not idempotent":         "--- FAIL: TestBad/create_is_idempotent",
		"a provider that ignores its caller":        "a caller that has given up must get an error",
		"a provider that has a plain endpoint":      "it must be unix:, https: or http: on loopback",
		"a provider that tells no limits":           "nothing says how memory is limited",
		"a provider that loses labels":              "--- FAIL: TestBad/get_and_list",
		"a provider that has its own not found":     "want ErrNotFound",
		"a provider that lists everything":          "too",
		"a provider that can't destroy twice":       "--- FAIL: TestBad/destroy_is_idempotent",
		"a provider that forgets to destroy":        "is listed",

		"a measuring provider that measures what is gone":  "want ErrNotFound",
		"a measuring provider that goes back in time":      "follows",
		"a measuring provider that measures nonsense":      "DiskBytes is -5",
		"a measuring provider that measures twice":         "without an interval:",
		"a measuring provider that ignores who has enough": "a caller that has enough",
		"a telling provider that tells all":                "the last line:",
		"a telling provider that tells ends of lines":      "no line of a sandbox",
		"a telling provider that does not follow":          "following",
		"a telling provider that fails when it is gone":    "want its lines and no error",
		"a pulling provider that pulls anything":           "want a Permanent error",
		"a secretive provider that names no capability":    "want ErrUnimplemented",
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run", "^TestBad$", "-test.v")
			cmd.Env = append(os.Environ(), badVar+"="+name)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !strings.Contains(string(out), want) {
				t.Errorf("got %v, want a failure with %q\n%.3000s", err, want, out)
			}
		})
	}
}

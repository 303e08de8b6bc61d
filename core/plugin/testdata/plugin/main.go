// Command plugin is whatever its file name says (KIND-NAME), and does what the tool of a call says. It is the plugin of this
// folder's tests.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const schema = `{"type":"object","additionalProperties":false,"properties":{
  "mood":{"enum":["good","bad"]},"crash":{"type":"boolean"},"hang":{"type":"boolean"}}}`

func main() {
	kind, name, _ := strings.Cut(filepath.Base(os.Args[0]), "-")
	p := &plugin{log: sdk.Logger("test")}
	cfg := sdk.ServeConfig{
		Description: sdk.Description{Name: name, Version: "1.2.3", Kind: sdk.Kind(kind), Capabilities: []string{"testing"}, OptionsSchema: json.RawMessage(schema)},
		Configure:   p.configure,
	}
	switch name {
	case "liar":
		cfg.Description.Name = "somebody-else"
	case "turncoat":
		cfg.Description.Kind = sdk.KindFilter
	case "bare":
		cfg.Description.OptionsSchema = nil
	case "broken":
		cfg.Description.OptionsSchema = json.RawMessage(`{"type":`)
	case "mute": // never says where it listens
		time.Sleep(time.Hour) // until the host kills it
	case "dead":
		fmt.Fprintln(os.Stderr, "I can't live here")
		os.Exit(3)
	}
	switch cfg.Description.Kind {
	case sdk.KindProvider:
		cfg.Provider = p
		if name == "capable" {
			cfg.Description.Capabilities = []string{sdk.CapabilityStats}
			cfg.Provider = capable{p}
		}
	case sdk.KindExporter:
		cfg.Exporter = p
	default:
		cfg.Filter = p
	}
	if err := sdk.Serve(cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type plugin struct {
	log *zap.Logger
	req sdk.ConfigureRequest
}

func (p *plugin) configure(ctx context.Context, req sdk.ConfigureRequest) error {
	p.req = req
	var options struct {
		Mood  string `json:"mood"`
		Crash bool   `json:"crash"`
		Hang  bool   `json:"hang"`
	}
	if err := sdk.DecodeOptions(req.Options, &options); err != nil {
		return err
	}
	switch {
	case options.Crash:
		os.Exit(4)
	case options.Hang:
		p.log.Info("hanging")
		<-ctx.Done()
	case options.Mood == "bad":
		return sdk.Permanent(fmt.Errorf("I am in a bad mood"))
	}
	return nil
}

// FilterCall answers with a rewrite that holds what was asked for.
func (p *plugin) FilterCall(ctx context.Context, call sdk.Call) (sdk.Outcome, error) {
	var answer any
	switch call.Tool {
	case "env":
		answer = os.Environ()
	case "request":
		answer = p.req
	case "stdin":
		b, err := io.ReadAll(os.Stdin)
		if err != nil {
			return sdk.Outcome{}, err
		}
		answer = string(b)
	case "log":
		p.log.Debug("a debug line", zap.Int("n", 1))
		p.log.Info("an info line", zap.String("s", "x"))
		p.log.Warn("a warn line")
		p.log.Error("an error line")
		fmt.Fprintln(os.Stderr, "a plain line")
	case "hang":
		p.log.Info("hanging")
		<-ctx.Done()
		p.log.Info("released")
		return sdk.Outcome{}, ctx.Err()
	case "stuck":
		p.log.Info("hanging")
		select {}
	case "crash":
		os.Exit(5)
	case "panic":
		panic("something is wrong")
	case "child":
		cmd := exec.Command("sleep", "3600")
		if err := cmd.Start(); err != nil {
			return sdk.Outcome{}, err
		}
		answer = cmd.Process.Pid
	case "permanent":
		return sdk.Outcome{}, sdk.Permanent(fmt.Errorf("never"))
	default:
		answer = "hello"
	}
	raw, err := json.Marshal(map[string]any{"answer": answer})
	return sdk.Outcome{Decision: sdk.Rewrite, Replacement: raw}, err
}

func (p *plugin) FilterResult(context.Context, sdk.Result) (sdk.Outcome, error) {
	return sdk.Outcome{Decision: sdk.Pass}, nil
}

func (p *plugin) Create(_ context.Context, req sdk.CreateRequest) (sdk.Sandbox, error) {
	return sdk.Sandbox{ID: req.ID, State: sdk.StateRunning}, nil
}

func (p *plugin) Get(context.Context, sdk.GetRequest) (sdk.Sandbox, error) {
	return sdk.Sandbox{}, fmt.Errorf("no: %w", sdk.ErrNotFound)
}

func (p *plugin) List(context.Context, sdk.ListRequest) (sdk.ListResponse, error) {
	return sdk.ListResponse{Sandboxes: []sdk.Sandbox{{ID: "a"}}}, nil
}

func (p *plugin) Destroy(context.Context, sdk.DestroyRequest) error { return nil }

// capable can measure, until it is killed.
type capable struct{ *plugin }

func (c capable) Stats(ctx context.Context, req sdk.StatsRequest, fn func(sdk.Stats) error) error {
	if req.ID == "none" {
		return sdk.ErrNotFound
	}
	if err := fn(sdk.Stats{PIDs: 1}); err != nil || req.Interval == 0 {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (p *plugin) Export(_ context.Context, _ sdk.ExportRequest, tar io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error {
	if err := begin(sdk.ExportHeader{FileName: "a.tar", MediaType: "application/x-tar"}); err != nil {
		return err
	}
	_, err := io.Copy(out, tar)
	return err
}

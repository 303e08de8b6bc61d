package preset_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/agcluster/agcluster/core/preset"
)

func library(t *testing.T, dir string) *preset.Library {
	t.Helper()
	builtin := fstest.MapFS{"a.yaml": {Data: []byte("id: built-in\nname: Built in\nallowed_tools: [Read]\n")}}
	catalog, err := preset.NewCatalog(builtin, nil, known(), defaults())
	if err != nil {
		t.Fatal(err)
	}
	l, err := preset.OpenLibrary(catalog, dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func raw(t *testing.T, c preset.Config) []byte {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOwnConfigurationsSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "configs")
	l := library(t, dir)
	created, err := l.Create([]byte(`{"id":"mine","system_prompt":"Line one.\n  Line two.\n","env":{"TOKEN":"hunter2"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if created.Name != "mine" || created.MaxTurns != 100 || created.ResourceLimits.MemoryLimit != "4g" {
		t.Errorf("it is not complete: %+v", created)
	}
	all := everythingConfig()
	all.Filters, all.ID = nil, "everything"
	if _, err := l.Create(raw(t, all)); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*preset.Library{l, library(t, dir)} {
		got, ok := l.Get("mine")
		if !ok || !reflect.DeepEqual(got, created) || l.Origin("mine") != preset.OriginCustom || l.Origin("built-in") != preset.OriginBuiltin {
			t.Errorf("got  %+v\nwant %+v", got, created)
		}
		var ids []string
		for _, c := range l.List() {
			ids = append(ids, c.ID)
		}
		own, broken := l.Own()
		if want := []string{"built-in", "everything", "mine"}; !reflect.DeepEqual(ids, want) || len(own) != 2 || len(broken) != 0 {
			t.Errorf("got %v, want %v", ids, want)
		}
		if again, _ := l.Get("everything"); again.SystemPrompt != all.SystemPrompt || string(again.Policies[0].Params) != string(all.Policies[0].Params) {
			t.Errorf("got %+v", again)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: others may read it: %v", e.Name(), info.Mode())
		}
	}
	// What it leaves out is the host's to say, also tomorrow.
	text, err := os.ReadFile(filepath.Join(dir, "mine.yaml"))
	if err != nil || bytes.Contains(text, []byte("max_turns")) || !bytes.Contains(text, []byte("  Line two.")) {
		t.Errorf("%s %v", text, err)
	}
	if err := library(t, dir).Remove("mine"); err != nil {
		t.Error(err)
	}
	if _, ok := library(t, dir).Get("mine"); ok {
		t.Error("it was removed and is back")
	}
}

func TestLibraryRefuses(t *testing.T) {
	dir := t.TempDir()
	l := library(t, filepath.Join(dir, "configs"))
	if _, err := l.Create([]byte(`{"id":"mine"}`)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ config, want string }{
		"an id that climbs":        {`{"id":"../x"}`, "id: must be 1 to 64 characters"},
		"an id that is a path":     {`{"id":"/etc/x"}`, "id: must be 1 to 64 characters"},
		"an id with NUL":           {`{"id":"a\u0000"}`, "id: must be 1 to 64 characters"},
		"dots":                     {`{"id":".."}`, "id: must be 1 to 64 characters"},
		"no id":                    {`{"name":"x"}`, "id: must be 1 to 64 characters"},
		"a long id":                {`{"id":"` + strings.Repeat("x", 65) + `"}`, "id: must be 1 to 64 characters"},
		"a reserved id":            {`{"id":"schema"}`, "id: custom, schema, validate and tools are names of the API"},
		"an unknown key":           {`{"id":"x","nme":"y"}`, "nme: unknown key; did you mean name?"},
		"what is wrong inside":     {`{"id":"x","allowed_tools":["Raed"]}`, "allowed_tools[0]: unknown tool"},
		"a parameter":              {`{"id":"x","policies":[{"name":"tools","params":{"bad":1}}]}`, "policies[0].params: tools does not know bad"},
		"a hidden value":           {`{"id":"x","env":{"TOKEN":"***"}}`, "env.TOKEN: *** stands for a value that is not shown"},
		"a hidden header":          {`{"id":"x","mcp_servers":{"s":{"type":"http","url":"https://x","headers":{"A":"***"}}}}`, "mcp_servers.s.headers.A: ***"},
		"too much":                 {`{"id":"x","system_prompt":"` + strings.Repeat("x", 1<<20) + `"}`, "has 1048605 bytes, more than 1048576"},
		"too much of what is read": {`{"id":"x","allowed_tools":["Task"],"agents":{` + manyAgents(5, 200<<10) + `}}`, "bytes as YAML, more than 1048576"},
		"an id that a preset has":  {`{"id":"built-in"}`, "there is a configuration with this id"},
		"an id that is there":      {`{"id":"mine"}`, "there is a configuration with this id"},
	} {
		if _, err := l.Create([]byte(c.config)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.200v, want %s", name, err, c.want)
		}
	}
	if _, err := l.Replace("mine", []byte(`{"id":"yours"}`)); err == nil || !strings.HasPrefix(err.Error(), "id: must be mine") {
		t.Errorf("got %v", err)
	}
	for _, id := range []string{"none", "built-in", "../configs/mine", ""} {
		if _, err := l.Replace(id, []byte(`{}`)); !errors.Is(err, preset.ErrNotFound) {
			t.Errorf("replacing %q: %v", id, err)
		}
		if err := l.Remove(id); !errors.Is(err, preset.ErrNotFound) {
			t.Errorf("removing %q: %v", id, err)
		}
	}
	var found []string
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if !d.IsDir() {
			found = append(found, path)
		}
		return err
	}); err != nil || len(found) != 1 || filepath.Base(found[0]) != "mine.yaml" {
		t.Errorf("what was refused left something: %v %v", found, err)
	}
}

// manyAgents has more lines than JSON has bytes: YAML indents each.
func manyAgents(n, size int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"a%d":{"description":"x","prompt":"%s"}`, i, strings.Repeat(`x\n`, size/3)))
	}
	return strings.Join(all, ",")
}

func TestLibraryHasABound(t *testing.T) {
	l := library(t, t.TempDir())
	for i := range preset.MaxCustom {
		if _, err := l.Create(fmt.Appendf(nil, `{"id":"c%d"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Create([]byte(`{"id":"more"}`)); !errors.Is(err, preset.ErrFull) || !strings.Contains(err.Error(), "200") {
		t.Errorf("got %v", err)
	}
	if _, err := l.Replace("c0", []byte(`{"name":"New"}`)); err != nil {
		t.Errorf("a change is no addition: %v", err)
	}
	if err := l.Remove("c1"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Create([]byte(`{"id":"more"}`)); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}

func TestAHiddenValueStaysWhatItWas(t *testing.T) {
	l := library(t, t.TempDir())
	const before = `{"id":"x","env":{"A":"one","B":"two"},"mcp_servers":{"s":{"command":"c","env":{"T":"three"}}}}`
	if _, err := l.Create([]byte(before)); err != nil {
		t.Fatal(err)
	}
	got, err := l.Replace("x", []byte(`{"env":{"A":"***","B":"new"},"mcp_servers":{"s":{"command":"d","env":{"T":"***"}}}}`))
	if err != nil || got.Env["A"] != "one" || got.Env["B"] != "new" || got.MCPServers["s"].Env["T"] != "three" || got.MCPServers["s"].Command != "d" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := l.Replace("x", []byte(`{"env":{"C":"***"}}`)); err == nil || !strings.HasPrefix(err.Error(), "env.C: ***") {
		t.Errorf("got %v", err)
	}
}

func TestABrokenFileIsKeptAndNotOffered(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"good.yaml": "id: good\nname: Good\n", "gone.yaml": "id: gone\nname: x\npolicies: [{name: vanished}]\n", "other.yaml": "id: another\nname: x\n",
		"built-in.yaml": "id: built-in\nname: Mine\n", "BAD.yaml": "id: bad\n", "half.yaml.new": "id: ha", "notes.txt": "x",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	l := library(t, dir)
	own, unusable := l.Own()
	var broken []string
	for _, b := range unusable {
		broken = append(broken, b.ID+": "+b.Error)
	}
	text := strings.Join(broken, "\n")
	if len(broken) != 3 || !strings.Contains(text, `gone: line 3: policies[0].name: unknown policy "vanished"`) ||
		!strings.Contains(text, `other: id: is "another" in a file called other.yaml`) || !strings.Contains(text, "built-in: id: is a preset's, too") {
		t.Errorf("got\n%s", text)
	}
	if c, _ := l.Get("built-in"); c.Name != "Built in" {
		t.Errorf("a file took a preset's place: %+v", c)
	}
	if len(own) != 1 || own[0].ID != "good" {
		t.Errorf("got %+v", own)
	}
	if _, err := l.Create([]byte(`{"id":"gone"}`)); !errors.Is(err, preset.ErrExists) {
		t.Errorf("a file that can't be read now was overwritten: %v", err)
	}
	if _, err := l.Replace("gone", []byte(`{"name":"Repaired"}`)); err != nil {
		t.Error(err)
	}
	if c, ok := l.Get("gone"); !ok || c.Name != "Repaired" {
		t.Errorf("got %+v", c)
	}
	if err := l.Remove("other"); err != nil {
		t.Error(err)
	}
}

func TestLibraryIsSafeForConcurrentUse(t *testing.T) {
	l := library(t, t.TempDir())
	var wg sync.WaitGroup
	created := make(chan string, 64)
	for i := range 8 {
		wg.Go(func() {
			if _, err := l.Create([]byte(`{"id":"same"}`)); err == nil {
				created <- "same"
			}
			if _, err := l.Replace("same", fmt.Appendf(nil, `{"name":"n%d"}`, i)); err != nil {
				t.Error(err)
			}
			if c, ok := l.Get("same"); !ok || !strings.HasPrefix(c.Name, "n") && c.Name != "same" {
				t.Errorf("got %+v", c)
			}
			l.List()
		})
	}
	wg.Wait()
	if len(created) != 1 {
		t.Errorf("%d made the same one", len(created))
	}
}

func TestReservedIDsAreNoPresets(t *testing.T) {
	own := fstest.MapFS{"x.yaml": {Data: []byte("id: validate\nname: X\n")}}
	if _, err := preset.NewCatalog(fstest.MapFS{}, own, preset.Known{}, preset.Defaults{}); err == nil || !strings.Contains(err.Error(), "preset validate: id: custom, schema") {
		t.Errorf("got %v", err)
	}
}

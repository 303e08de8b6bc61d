package host_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/event"
)

// put writes a file by the API.
func (r *rig) put(id, path, content string, header ...string) answer {
	r.t.Helper()
	return r.request(http.MethodPut, "/api/files/"+id+"/"+path, strings.NewReader(content), header...)
}

// changes lists what the API tells, a line each: status, path, lines added and deleted.
func (r *rig) changes(id, since string) string {
	r.t.Helper()
	var list struct {
		Since   string
		Changes []struct {
			Status, Path         string
			Additions, Deletions *int
		}
		Total     int
		Truncated bool
	}
	r.request(http.MethodGet, "/api/files/"+id+"/changes?since="+since, nil).into(r.t, 200, &list)
	if list.Total != len(list.Changes) || list.Truncated {
		r.t.Errorf("since %s: %+v", since, list)
	}
	var lines []string
	for _, c := range list.Changes {
		line := c.Status + " " + c.Path
		if c.Additions != nil && c.Deletions != nil {
			line += fmt.Sprintf(" +%d -%d", *c.Additions, *c.Deletions)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ", ")
}

// jobFilesAreEditedAndCompared: a person and the agent change the same files, and everybody sees what the other did.
func jobFilesAreEditedAndCompared(t *testing.T, on string) {
	r := newRig(t, options{on: on, env: []string{"SESSION_IDLE_TIMEOUT=1s", "SESSION_CLEANUP_INTERVAL=100ms"}})
	id := r.launch(inline(nil))
	var written struct {
		Path      string `json:"path"`
		SizeBytes int    `json:"size_bytes"`
		ETag      string `json:"etag"`
	}
	a := r.put(id, "src/plan.txt", "one\ntwo\n", "If-None-Match", "*")
	a.into(t, 200, &written)
	if written.Path != "src/plan.txt" || written.SizeBytes != 8 || a.header.Get("ETag") != `"`+written.ETag+`"` {
		t.Errorf("written: %v", a)
	}
	if a := r.put(id, "src/plan.txt", "other", "If-None-Match", "*"); a.status != http.StatusPreconditionFailed {
		t.Errorf("a new file over one that is there: %v", a)
	}
	var seen struct {
		ETag    string `json:"etag"`
		Content string `json:"content"`
	}
	r.request(http.MethodGet, "/api/files/"+id+"/src/plan.txt", nil).into(t, 200, &seen)
	if seen.ETag != written.ETag || seen.Content != "one\ntwo\n" {
		t.Errorf("preview: %+v, written %+v", seen, written)
	}
	if d := r.request(http.MethodGet, "/api/files/"+id+"/src/plan.txt/download", nil); d.header.Get("ETag") != `"`+written.ETag+`"` {
		t.Errorf("download: %v", d.header)
	}
	r.put(id, "src/plan.txt", "one\n2\n", "If-Match", `"`+seen.ETag+`"`).into(t, 200, &written)

	// The agent is faster than the person, whose write is then refused. It has to read what it overwrites.
	r.turn(id, "read /workspace/src/plan.txt").ended(event.CompleteOK)
	r.turn(id, "write /workspace/src/plan.txt ONE").ended(event.CompleteOK)
	if a := r.put(id, "src/plan.txt", "mine", "If-Match", `"`+written.ETag+`"`); a.status != http.StatusPreconditionFailed {
		t.Errorf("a write over the agent's: %v", a)
	}
	// The file belongs to the agent, whoever made it, and keeps its permissions.
	r.turn(id, "run: chmod 0755 src/plan.txt && echo THREE >> src/plan.txt && stat -c %a src/plan.txt").ended(event.CompleteOK).says("755")
	r.put(id, "src/plan.txt", "ONE\nTWO\n").into(t, 200, nil)
	r.turn(id, "run: [ $(stat -c %u src/plan.txt) = $(id -u) ] && stat -c '=%a' src/plan.txt").ended(event.CompleteOK).says("=755")

	if got := r.changes(id, "turn:2"); got != "modified src/plan.txt +2 -2" {
		t.Errorf("since the second turn: %s", got)
	}
	if got := r.changes(id, "turn"); got != "" {
		t.Errorf("since the last turn: %s", got)
	}
	if got := r.changes(id, "launch"); got != "added src/plan.txt +2 -0" {
		t.Errorf("since the launch: %s", got)
	}
	r.turn(id, "read /workspace/src/plan.txt").ended(event.CompleteOK)
	r.turn(id, "write /workspace/src/plan.txt agent's").ended(event.CompleteOK)
	asleep(t, r, id)
	// It wakes for the question, and knows what was.
	if got := r.changes(id, "turn"); got != "modified src/plan.txt +1 -2" {
		t.Errorf("since the last turn, after a sleep: %s", got)
	}
	var change struct{ Status, Before, After string }
	r.request(http.MethodGet, "/api/files/"+id+"/changes/src/plan.txt?since=turn", nil).into(t, 200, &change)
	if change.Status != "modified" || change.Before != "ONE\nTWO\n" || change.After != "agent's" {
		t.Errorf("the change: %+v", change)
	}
	r.request(http.MethodGet, "/api/files/"+id+"/changes/src/plan.txt?since=turn:2", nil).into(t, 200, &change)
	if change.Before != "one\n2\n" {
		t.Errorf("the change since the second turn: %+v", change)
	}
	if a := r.request(http.MethodGet, "/api/files/"+id+"/changes?since=turn:99", nil); a.status != 404 {
		t.Errorf("a turn that has not begun: %v", a)
	}
	moveAndDelete(t, r, id)
}

// asleep waits until the session's sandbox is gone.
func asleep(t *testing.T, r *rig, id string) {
	t.Helper()
	eventually(t, "asleep", func() bool { return r.session(id).Status == "asleep" })
}

// moveAndDelete does what else a person does with files.
func moveAndDelete(t *testing.T, r *rig, id string) {
	t.Helper()
	post := func(path string, body map[string]any) answer {
		t.Helper()
		return r.request(http.MethodPost, "/api/files/"+id+"/"+path, body)
	}
	post("folders", map[string]any{"path": "docs/new"}).into(t, 201, nil)
	if a := post("folders", map[string]any{"path": "docs/new"}); a.status != 409 {
		t.Errorf("a folder twice: %v", a)
	}
	post("move", map[string]any{"from": "src/plan.txt", "to": "docs/new/plan.md"}).into(t, 200, nil)
	r.put(id, "src/other.txt", "other").into(t, 200, nil)
	if a := post("move", map[string]any{"from": "src/other.txt", "to": "docs/new/plan.md"}); a.status != 409 {
		t.Errorf("a move onto a file: %v", a)
	}
	for _, c := range []struct {
		path string
		want int
	}{
		{"docs", 409},
		{"docs?recursive=true", 204},
		{"docs", 404},
		{"src/other.txt", 204},
		{"../etc/passwd", 400},
		{"%2Fworkspace?recursive=true", 400},
	} {
		if a := r.request(http.MethodDelete, "/api/files/"+id+"/"+c.path, nil); a.status != c.want {
			t.Errorf("deleting %s: want %d, got %v", c.path, c.want, a)
		}
	}
	// A selection leaves.
	for _, name := range []string{"x/a", "x/b", "y"} {
		r.put(id, name, name).into(t, 200, nil)
	}
	z := post("download", map[string]any{"paths": []string{"x/b", "y"}})
	z.into(t, 200, nil)
	archive, err := zip.NewReader(bytes.NewReader(z.body), int64(len(z.body)))
	if err != nil || len(archive.File) != 2 || archive.File[0].Name != "x/b" || archive.File[1].Name != "y" {
		t.Fatalf("zip: %v %+v", err, archive)
	}
	f, err := archive.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(f); err != nil || string(content) != "x/b" {
		t.Errorf("x/b in the zip: %q %v", content, err)
	}
}

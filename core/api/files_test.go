package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/workspace"
)

// fakeFiles says what it was asked, and fails as it is told.
type fakeFiles struct {
	Files
	asked string
	err   error
}

func (f *fakeFiles) Preview(_ context.Context, _, path string) (workspace.Preview, error) {
	f.asked = "preview " + path
	content := "x"
	return workspace.Preview{Type: workspace.TypeText, Path: path, Content: &content, ETag: "ab12"}, f.err
}

func (f *fakeFiles) Write(_ context.Context, _, to string, req workspace.WriteRequest, r io.Reader) (workspace.Written, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return workspace.Written{}, err
	}
	f.asked = fmt.Sprintf("write %s %q %v %s", to, req.IfMatch, req.IfNone, b)
	return workspace.Written{Path: to, SizeBytes: int64(len(b)), ETag: "cd34"}, f.err
}

func (f *fakeFiles) Delete(_ context.Context, _, path string, recursive bool) error {
	f.asked = fmt.Sprintf("delete %s %v", path, recursive)
	return f.err
}

func (f *fakeFiles) Move(_ context.Context, _, from, to string, overwrite bool) (string, error) {
	f.asked = fmt.Sprintf("move %q %q %v", from, to, overwrite)
	return to, f.err
}

func (f *fakeFiles) MakeFolder(_ context.Context, _, folder string) (string, error) {
	f.asked = "folder " + folder
	return folder, f.err
}

func (f *fakeFiles) Changes(_ context.Context, _, since string) (workspace.Changes, error) {
	f.asked = "changes " + since
	added := 3
	return workspace.Changes{Since: "turn:2", Changes: []workspace.Change{{Path: "a", Status: "added", SizeBytes: 5, Additions: &added}}, Total: 1}, f.err
}

func (f *fakeFiles) Change(_ context.Context, _, path, since string) (workspace.FileChange, error) {
	f.asked = fmt.Sprintf("change %s %s", path, since)
	after := "x"
	return workspace.FileChange{Change: workspace.Change{Path: path, Status: "added"}, After: &after}, f.err
}

func (f *fakeFiles) Open(_ context.Context, _, path string) (*workspace.Content, error) {
	f.asked = "open " + path
	return nil, workspace.ErrNotFound
}

func TestFilesAreEditedAndCompared(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		err                error
		status             int
		// asked is what the service hears, says what is in the answer.
		asked, says string
	}{
		"write":                    {"PUT", "a/b.txt", "new", nil, nil, 200, `write a/b.txt [] false new`, `{"path":"a/b.txt","size_bytes":3,"etag":"cd34"`},
		"write nothing":            {"PUT", "empty", "", nil, nil, 200, `write empty [] false `, `"size_bytes":0`},
		"write what was seen":      {"PUT", "f", "n", []string{"If-Match", `"ab12", W/"ef"`}, nil, 200, `write f ["ab12" "W/\"ef"] false n`, ""},
		"write without quotes":     {"PUT", "f", "n", []string{"If-Match", `ab12`}, nil, 200, `write f ["ab12"] false n`, ""},
		"write any":                {"PUT", "f", "n", []string{"If-Match", `*`}, nil, 200, `write f ["*"] false n`, ""},
		"write a new one":          {"PUT", "f", "n", []string{"If-None-Match", `*`}, nil, 200, `write f [] true n`, ""},
		"write changed":            {"PUT", "f", "n", []string{"If-Match", `"ab12"`}, workspace.ErrStale, 412, `write f ["ab12"] false n`, "not the one"},
		"write if none of some":    {"PUT", "f", "n", []string{"If-None-Match", `"`}, nil, 422, "", "If-None-Match"},
		"write a contradiction":    {"PUT", "f", "n", []string{"If-None-Match", "*", "If-Match", "*"}, nil, 422, "", "contradicts"},
		"write a download":         {"PUT", "a/download", "n", nil, nil, 200, `write a/download [] false n`, ""},
		"write an encoded name":    {"PUT", "a%2F%ff%252e", "n", nil, nil, 200, "write a/\xff%2e [] false n", ""},
		"write too much":           {"PUT", "f", "n", nil, &workspace.TooLargeError{What: "file", Name: "f", Limit: 1, Got: 2}, 413, `write f [] false n`, "the limit is 1"},
		"write a body cut short":   {"PUT", "f", "n", nil, io.ErrUnexpectedEOF, 400, `write f [] false n`, "ends too early"},
		"delete":                   {"DELETE", "a/b", "", nil, nil, 204, "delete a/b false", ""},
		"delete all":               {"DELETE", "a?recursive=true", "", nil, nil, 204, "delete a true", ""},
		"delete a full one":        {"DELETE", "a", "", nil, workspace.ErrConflict, 409, "delete a false", "conflict"},
		"delete a download":        {"DELETE", "a/download", "", nil, nil, 204, "delete a/download false", ""},
		"move":                     {"POST", "move", `{"from":"a","to":"b/c"}`, nil, nil, 200, `move "a" "b/c" false`, `{"path":"b/c"}`},
		"move over":                {"POST", "move", `{"from":"a","to":"b","overwrite":true}`, nil, nil, 200, `move "a" "b" true`, ""},
		"move bytes":               {"POST", "move", `{"from_bytes":"YP8=","to":"b"}`, nil, nil, 200, `move "` + "`" + `\xff" "b" false`, ""},
		"move nothing":             {"POST", "move", `{"to":"b"}`, nil, nil, 422, "", "body.from"},
		"move two":                 {"POST", "move", `{"from":"a","from_bytes":"YP8=","to":"b"}`, nil, nil, 422, "", "body.from_bytes"},
		"move to nowhere":          {"POST", "move", `{"from":"a"}`, nil, nil, 422, "", "to"},
		"move with a surprise":     {"POST", "move", `{"from":"a","to":"b","force":true}`, nil, nil, 422, "", "force"},
		"move onto something":      {"POST", "move", `{"from":"a","to":"b"}`, nil, workspace.ErrConflict, 409, `move "a" "b" false`, "conflict"},
		"make a folder":            {"POST", "folders", `{"path":"a/b"}`, nil, nil, 201, "folder a/b", `{"path":"a/b"}`},
		"make what is there":       {"POST", "folders", `{"path":"a"}`, nil, workspace.ErrConflict, 409, "folder a", "conflict"},
		"make a folder of no name": {"POST", "folders", `{"path":""}`, nil, nil, 422, "", "path"},
		"changes":                  {"GET", "changes?since=turn", "", nil, nil, 200, "changes turn", `{"since":"turn:2","changes":[{"path":"a","status":"added","size_bytes":5,"additions":3,"binary":false}],"total":1,"truncated":false}`},
		"changes since a turn":     {"GET", "changes?since=turn:12", "", nil, nil, 200, "changes turn:12", ""},
		"changes since never":      {"GET", "changes?since=turn:0", "", nil, nil, 422, "", "since"},
		"changes not kept":         {"GET", "changes?since=turn:1", "", nil, workspace.ErrNotFound, 404, "changes turn:1", "not found"},
		"a change":                 {"GET", "changes/a/b.txt?since=launch", "", nil, nil, 200, "change a/b.txt launch", `"path":"a/b.txt","status":"added","size_bytes":0,"binary":false,"before":null,"after":"x","truncated":false`},
		"a change of changes":      {"GET", "changes/changes?since=launch", "", nil, nil, 200, "change changes launch", ""},
		"a change of a download":   {"GET", "changes/a/download?since=launch", "", nil, nil, 200, "change a/download launch", ""},
		"a change of download":     {"GET", "changes/download?since=launch", "", nil, nil, 200, "change download launch", ""},
		"a change, encoded":        {"GET", "changes/a%2F%ff?since=launch", "", nil, nil, 200, "change a/\xff launch", ""},
		"a change since never":     {"GET", "changes/a?since=", "", nil, nil, 422, "", "since"},
		"a file called changes":    {"GET", "changes", "", nil, nil, 200, "preview changes", ""},
		"a file in changes":        {"GET", "changes/a", "", nil, nil, 200, "preview changes/a", ""},
		"changes, downloaded":      {"GET", "changes/download", "", nil, nil, 404, "open changes", ""},
		"a file called move":       {"GET", "move", "", nil, nil, 200, "preview move", ""},
		"a file called upload":     {"PUT", "upload", "x", nil, nil, 200, "write upload [] false x", ""},
		"changes, written":         {"PUT", "changes", "x", nil, nil, 200, "write changes [] false x", ""},
		"preview":                  {"GET", "a/b.txt", "", nil, nil, 200, "preview a/b.txt", `"etag":"ab12"`},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeFiles{err: c.err}
			_, h := New(Config{Version: "1"}, Deps{Sessions: &fake{}, Files: f}, zap.NewNop())
			r := httptest.NewRequest(c.method, "/api/files/conv-1/"+c.path, strings.NewReader(c.body))
			r.Header.Set("Authorization", "Bearer sk-ant-x")
			for i := 0; i+1 < len(c.header); i += 2 {
				r.Header.Set(c.header[i], c.header[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status || f.asked != c.asked {
				t.Fatalf("%d, asked %q, want %d and %q: %s", w.Code, f.asked, c.status, c.asked, w.Body)
			}
			if !strings.Contains(w.Body.String(), c.says) || c.status == 204 && w.Body.Len() > 0 {
				t.Errorf("it says %s, not %s", w.Body, c.says)
			}
			switch etag := w.Header().Get("ETag"); {
			case c.method == http.MethodPut && c.status == 200 && etag != `"cd34"`, strings.HasPrefix(f.asked, "preview") && etag != `"ab12"`:
				t.Errorf("ETag %s", etag)
			}
			if c.status >= 400 {
				var p struct{ Status int }
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != c.status || w.Header().Get("Content-Type") != "application/problem+json" {
					t.Errorf("no problem: %s", w.Body)
				}
			}
		})
	}
}

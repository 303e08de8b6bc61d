package host_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/agcluster/agcluster/core/event"
)

func jobRoutesDemandTheSessionsKey(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(nil))
	other := "sk-ant-api03-somebody-else"
	routes := []struct{ method, path string }{
		{http.MethodGet, "/api/agents/sessions/" + id},
		{http.MethodDelete, "/api/agents/sessions/" + id},
		{http.MethodPost, "/api/agents/sessions/" + id + "/interrupt"},
		{http.MethodPost, "/api/agents/" + id + "/chat"},
		{http.MethodGet, "/api/agents/" + id + "/events"},
		{http.MethodGet, "/api/agents/" + id + "/messages"},
		{http.MethodPost, "/api/agents/" + id + "/approvals/ask-1"},
		{http.MethodGet, "/api/files/" + id},
		{http.MethodGet, "/api/files/" + id + "/a.txt"},
		{http.MethodGet, "/api/files/" + id + "/a.txt?raw=true"},
		{http.MethodGet, "/api/files/" + id + "/a.txt/download"},
		{http.MethodPut, "/api/files/" + id + "/a.txt"},
		{http.MethodDelete, "/api/files/" + id + "/a.txt"},
		{http.MethodPost, "/api/files/" + id + "/move"},
		{http.MethodPost, "/api/files/" + id + "/folders"},
		{http.MethodGet, "/api/files/" + id + "/changes?since=launch"},
		{http.MethodGet, "/api/files/" + id + "/changes/a.txt?since=launch"},
		{http.MethodPost, "/api/files/" + id + "/upload"},
		{http.MethodPost, "/api/files/" + id + "/download"},
	}
	for _, route := range routes {
		for _, c := range []struct {
			who, key, path string
			want           int
		}{
			{"no key", "", route.path, http.StatusUnauthorized},
			{"another key", other, route.path, http.StatusForbidden},
			{"an unknown session", key, strings.Replace(route.path, id, "conv-0000", 1), http.StatusNotFound},
		} {
			a := r.requestAs(c.key, route.method, c.path, strings.NewReader(`{"message":"x","decision":"allow"}`))
			if a.status != c.want {
				t.Errorf("%s %s with %s: want %d, got %v", route.method, c.path, c.who, c.want, a)
			}
			if p := a.problem(); strings.Contains(p, other) || strings.Contains(p, key) || strings.HasPrefix(p, "no problem") {
				t.Errorf("%s %s with %s: %s", route.method, c.path, c.who, p)
			}
		}
	}
	if a := r.requestAs("", http.MethodGet, "/api/agents/sessions", nil); a.status != 401 {
		t.Errorf("the list without a key: %v", a)
	}
	var list struct{ Total int }
	r.requestAs(other, http.MethodGet, "/api/agents/sessions", nil).into(t, 200, &list)
	if list.Total != 0 {
		t.Errorf("another key sees %d sessions", list.Total)
	}
	r.request(http.MethodGet, "/api/agents/sessions", nil).into(t, 200, &list)
	if list.Total != 1 {
		t.Errorf("the key sees %d sessions, not its one", list.Total)
	}
}

func TestBadRequestsAreRefusedPrecisely(t *testing.T) {
	r := newRig(t, options{})
	big := `{"api_key":"` + key + `","config_id":"` + strings.Repeat("x", 11<<20) + `"}`
	for name, c := range map[string]struct {
		path, body string
		status     int
		says       string
	}{
		"11 MB":                     {"/api/agents/launch", big, 413, ""},
		"no JSON":                   {"/api/agents/launch", "{", 400, ""},
		"unknown field":             {"/api/agents/launch", `{"api_key":"` + key + `","config_id":"code-assistant","surprise":1}`, 422, "surprise"},
		"no key":                    {"/api/agents/launch", `{"config_id":"code-assistant"}`, 422, "api_key"},
		"a key with a newline":      {"/api/agents/launch", `{"api_key":"sk\nx","config_id":"code-assistant"}`, 422, "api_key"},
		"an OAuth token":            {"/api/agents/launch", `{"api_key":"sk-ant-oat01-x","config_id":"code-assistant"}`, 422, "OAuth"},
		"neither config":            {"/api/agents/launch", `{"api_key":"` + key + `"}`, 422, "config_id or config"},
		"both configs":              {"/api/agents/launch", `{"api_key":"` + key + `","config_id":"code-assistant","config":{"allowed_tools":[]}}`, 422, "one of them"},
		"unknown preset":            {"/api/agents/launch", `{"api_key":"` + key + `","config_id":"nobody"}`, 404, "nobody"},
		"unknown tool":              {"/api/agents/launch", `{"api_key":"` + key + `","config":{"allowed_tools":["Bahs"]}}`, 422, "body.config.allowed_tools[0]"},
		"unknown key of a config":   {"/api/agents/launch", `{"api_key":"` + key + `","config":{"allowed_tolls":["Bash"]}}`, 422, "allowed_tolls"},
		"unknown policy":            {"/api/agents/launch", `{"api_key":"` + key + `","config":{"policies":[{"name":"pat"}]}}`, 422, "policies[0]"},
		"bad policy parameter":      {"/api/agents/launch", `{"api_key":"` + key + `","config":{"policies":[{"name":"archive","params":{"max_entries":-1}}]}}`, 422, "max_entries"},
		"unknown provider":          {"/api/agents/launch", `{"api_key":"` + key + `","config_id":"code-assistant","provider":"moon"}`, 422, "provider"},
		"reserved variable":         {"/api/agents/launch", `{"api_key":"` + key + `","config":{"env":{"ANTHROPIC_API_KEY":"x"}}}`, 422, "ANTHROPIC_"},
		"mcp_env for nobody":        {"/api/agents/launch", `{"api_key":"` + key + `","config_id":"code-assistant","mcp_env":{"git":{"A":"b"}}}`, 422, "mcp_env.git"},
		"wrong type":                {"/api/agents/launch", `{"api_key":7,"config_id":"code-assistant"}`, 422, "api_key"},
		"too little memory":         {"/api/agents/launch", `{"api_key":"` + key + `","config":{"resource_limits":{"memory_limit":"1m"}}}`, 422, "memory_limit"},
		"a path out as cwd":         {"/api/agents/launch", `{"api_key":"` + key + `","config":{"cwd":"/workspace/../etc"}}`, 422, "cwd"},
		"a page that is not there":  {"/api/agents/nothing/here/at/all", `{}`, 404, "no such page"},
		"a key in the wrong places": {"/api/agents/launch", `{"api_key":["` + key + `"],"config_id":{"x":"` + key + `"}}`, 422, "api_key"},
	} {
		a := r.requestAs("", http.MethodPost, c.path, strings.NewReader(c.body))
		if a.status != c.status || !strings.Contains(a.problem(), c.says) {
			t.Errorf("%s: want %d and %q, got %d: %s", name, c.status, c.says, a.status, a.problem())
		}
		if bytes.Contains(a.body, []byte(key)) {
			t.Errorf("%s: the answer holds the key: %v", name, a)
		}
	}
	if n := len(r.find("/opt/agent/")); n != 0 {
		t.Errorf("%d sandbox processes after nothing but refusals", n)
	}
}

func (r *rig) upload(id, query string, files ...string) answer {
	r.t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i+1 < len(files); i += 2 {
		part, err := w.CreateFormFile("files", files[i])
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := io.WriteString(part, files[i+1]); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		r.t.Fatal(err)
	}
	return r.request(http.MethodPost, "/api/files/"+id+"/upload"+query, &b, "Content-Type", w.FormDataContentType())
}

func jobHostilePathsStayOutside(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(func(c map[string]any) {
		c["policies"] = []any{}
		c["allowed_tools"] = []string{"Bash"}
	}))
	r.turn(id, `run: echo inside > real.txt; ln -s /etc/passwd link-out; ln -s .. up; ln -s real.txt link-in; ln -s /etc dir-out; `+
		`mkdir 'sub.d'; echo x > 'sub.d/no dot'; printf x > $'new\nline'; printf x > $'bytes-\xff\xfe'; mkfifo pipe; ln real.txt hard; `+
		`printf "<script>alert(1)</script>" > page.html; printf PNG > no-image.png; mkdir empty; echo %2e > '%2e%2e'; echo ok`).
		ended(event.CompleteOK).says("ok")

	for _, path := range []string{
		"../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "%252e%252e%252fetc%252fpasswd", "/etc/passwd",
		"%2fetc%2fpasswd", "link-out", "dir-out/passwd", "up/home/agent/.claude.json", "a%00b", "x/../../../etc/passwd", "....//etc/passwd",
		"..", "%2e%2e", ".", "sub.d/../../etc/passwd", "..%5c..%5cetc%5cpasswd", "%ff%fe",
	} {
		for _, suffix := range []string{"", "?raw=true", "/download"} {
			if path == "%2e%2e" && suffix == "" {
				continue
			}
			a := r.rawGet("/api/files/" + id + "/" + path + suffix)
			if a.status < 400 || a.status >= 500 || bytes.Contains(a.body, []byte("root:")) {
				t.Errorf("GET %s%s: %v", path, suffix, a)
			}
		}
		if a := r.request(http.MethodPost, "/api/files/"+id+"/download", map[string]any{"paths": []string{path}}); a.status == 200 &&
			bytes.Contains(a.body, []byte("root:")) {
			t.Errorf("export of %s: %v", path, a.status)
		}
	}
	for _, c := range []struct {
		path, want string
	}{
		{"real.txt", "inside\n"},
		{"link-in", "inside\n"},
		{"hard", "inside\n"},
		{"sub.d%2Fno%20dot", "x\n"},
		{"new%0Aline", "x"},
		{"bytes-%ff%fe", "x"},
		{"%252e%252e", "%2e\n"},
	} {
		if a := r.rawGet("/api/files/" + id + "/" + c.path + "?raw=true"); a.status != 200 || string(a.body) != c.want {
			t.Errorf("%s: want %q, got %v", c.path, c.want, a)
		}
	}
	whole := r.request(http.MethodPost, "/api/files/"+id+"/download", nil)
	whole.into(t, 200, nil)
	archive, err := zip.NewReader(bytes.NewReader(whole.body), int64(len(whole.body)))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range archive.File {
		names[f.Name] = true
		content, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(content)
		if err != nil || bytes.Contains(b, []byte("root:")) || bytes.HasPrefix(b, []byte("/etc")) || strings.Contains(string(b), "..") {
			t.Errorf("%q in the export: %q %v", f.Name, b, err)
		}
	}
	for name, want := range map[string]bool{
		"real.txt": true, "link-in": true, "hard": true, "sub.d/no dot": true, "new\nline": true, "bytes-\xff\xfe": true, "empty/": true,
		"link-out": false, "dir-out": false, "up": false, "pipe": false,
	} {
		if names[name] != want {
			t.Errorf("%q in the export is %v, want %v; it has %v", name, names[name], want, names)
		}
	}
	if a := r.rawGet("/api/files/" + id + "/pipe?raw=true"); a.status != 400 {
		t.Errorf("a fifo: %v", a)
	}
	page := r.rawGet("/api/files/" + id + "/page.html?raw=true")
	if ct := page.header.Get("Content-Type"); !strings.HasPrefix(ct, "text/plain") || page.header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.Contains(page.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("an HTML file gets powers: %v", page.header)
	}
	if a := r.rawGet("/api/files/" + id + "/no-image.png"); !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("a text called .png is no image: %v", a.header)
	}
	tree := string(r.request(http.MethodGet, "/api/files/"+id, nil).body)
	for _, want := range []string{`"name":"new\nline","type":"file"`, `"name":"sub.d","type":"directory"`, `"name":"no dot","type":"file"`, `"name":"empty"`} {
		if !strings.Contains(tree, want) {
			t.Errorf("no %s in the tree %s", want, tree)
		}
	}
	// Nothing that an upload names leaves the workspace either.
	for _, name := range []string{"../evil.txt", "..", "/etc/evil", "a\x00b", ""} {
		if a := r.upload(id, "", name, "evil"); a.status == 200 && !strings.Contains(string(a.body), `"path":"evil`) {
			t.Errorf("upload of %q: %v", name, a)
		}
	}
	for _, target := range []string{"../out", "dir-out", "/etc", "link-out", "up"} {
		if a := r.upload(id, "?target_path="+target, "evil.txt", "evil"); a.status < 400 {
			t.Errorf("upload into %q: %v", target, a)
		}
	}
	if a := r.upload(id, "?target_path=sub.d", "new.txt", "new", "second.txt", "2"); a.status != 200 || !strings.Contains(string(a.body), `"total_files":2`) {
		t.Errorf("upload: %v", a)
	}
	if a := r.upload(id, "?target_path=sub.d", "new.txt", "newer"); a.status != 409 || !strings.Contains(a.problem(), "new.txt") {
		t.Errorf("upload over a file: %v", a)
	}
	if a := r.upload(id, "?target_path=sub.d&overwrite=true", "new.txt", "newer"); a.status != 200 {
		t.Errorf("upload over a file with overwrite: %v", a)
	}
	// The agent owns what people upload.
	r.turn(id, "run: echo more >> sub.d/new.txt && cat sub.d/new.txt").ended(event.CompleteOK).says("newermore")
	if _, err := os.Stat("/etc/evil"); err == nil {
		t.Error("an upload reached the host's /etc")
	}
}

// rawGet asks for a path exactly as it is given, which net/http's client would clean.
func (r *rig) rawGet(path string) answer {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", path, key)
	all, err := io.ReadAll(conn)
	if err != nil {
		r.t.Fatal(err)
	}
	return parseAnswer(r.t, all)
}

func jobArchiveLimitsAreMetBeforeAByteIsSent(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	limited := func(params map[string]any) string {
		return r.launch(inline(func(c map[string]any) {
			c["policies"] = []map[string]any{{"name": "archive", "params": params}}
			c["allowed_tools"] = []string{"Bash"}
		}))
	}
	for name, c := range map[string]struct {
		params map[string]any
		fill   string
		early  int
	}{
		"entries": {map[string]any{"max_entries": 10}, "for i in $(seq 11); do touch f$i; done", 413},
		"bytes":   {map[string]any{"max_bytes": 1000000}, "head -c 1000001 /dev/zero > big", 413},
		"ratio":   {map[string]any{"max_ratio": 2}, "head -c 40000000 /dev/zero > zeros", 0},
		"names":   {map[string]any{"deny": []string{"**/*.pem"}}, "mkdir k; touch k/id.pem", 403},
	} {
		t.Run(name, func(t *testing.T) {
			id := limited(c.params)
			r.turn(id, "run: "+c.fill+"; echo ok").ended(event.CompleteOK).says("ok")
			a := r.request(http.MethodPost, "/api/files/"+id+"/download", nil)
			switch {
			case c.early > 0 && (a.status != c.early || !strings.HasPrefix(a.header.Get("Content-Type"), "application/problem+json")):
				t.Errorf("over the limit: %v", a)
			case c.early == 0 && a.status == 200 && !bytes.Contains(a.body, []byte("BROKEN OFF")):
				t.Errorf("over the ratio and whole: %d bytes", len(a.body))
			}
			var denied bool
			for _, v := range of[event.Verdict](r.history(id)) {
				denied = denied || (v.Gate == "archive.entry" && v.Decision == "deny")
			}
			if !denied {
				t.Errorf("no verdict: %s", describe(r.history(id)))
			}
			r.request(http.MethodDelete, "/api/agents/sessions/"+id, nil).into(t, 200, nil)
		})
	}
}

// The key is looked for wherever it could be.
func jobKeyIsNowhere(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch("code-assistant")
	r.turn(id, "run: env; echo done").ended(event.CompleteOK).says("done")
	s := r.send(t.Context(), id, "run: sleep 60.321")
	eventually(t, "sleep runs", func() bool { return len(r.find("sleep 60.321")) > 0 })
	secret := []byte(key)
	looked := 0
	if on == onDocker {
		r.keyIsNotInTheEngine()
	}
	for _, p := range append(r.inside(), proc{pid: r.cmd.Process.Pid}) {
		for _, name := range []string{"environ", "cmdline"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.pid, name))
			if err != nil {
				continue
			}
			looked++
			if bytes.Contains(b, secret) {
				t.Errorf("the key is in the %s of %d (%s)", name, p.pid, p.cmdline)
			}
		}
	}
	if looked < 10 {
		t.Errorf("only %d files of /proc were looked at", looked)
	}
	r.request(http.MethodPost, "/api/agents/sessions/"+id+"/interrupt", nil).into(t, 200, nil)
	turn{t, s.rest()}.ended(event.CompleteInterrupted)
	used := false
	for _, e := range r.model.Log() {
		used = used || e.KeyLength == len(key)
	}
	if !used {
		t.Error("the model never got the key; this test proves nothing")
	}
	r.stop(syscall.SIGTERM)
	if strings.Contains(r.log.all(), key) {
		t.Error("the key is in the log")
	}
	files := 0
	for _, dir := range []string{r.data, r.run} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			if bytes.Contains(b, secret) {
				t.Errorf("the key is in %s", path)
			}
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	}
	if files < 3 {
		t.Errorf("only %d files were looked at", files)
	}
}

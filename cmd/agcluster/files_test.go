package main

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const filesURL = "/api/files/" + conv

const tree = `{"root":"/workspace","total_files":4,"truncated":true,"tree":{"name":"workspace","type":"directory","path":"","size":0,"children":[
	{"name":"src","type":"directory","path":"src","size":0,"children":[
		{"name":"empty","type":"directory","path":"src/empty","size":0,"children":[]},
		{"name":"main.go","type":"file","path":"src/main.go","size":1234}]},
	{"name":"a\n\u001b[2J.txt","type":"file","path":"a","size":0},
	{"name":"link","type":"symlink","path":"link","size":0,"target":"../\u202eetc"},
	{"name":"sock","type":"other","path":"sock","size":0}]}}`

func TestFilesShowTheTree(t *testing.T) {
	h := newHost(t)
	h.keep("GET "+filesURL, tree)
	r := newCLI(t, h).run("files", conv)
	golden(t, "tree", r.out)
	if unsafe(r.out) {
		t.Errorf("it steers the terminal: %q", r.out)
	}
	if got := newCLI(t, h).run("files", conv, "/workspace/").out; got != r.out {
		t.Errorf("/workspace/ shows %s", got)
	}
	newCLI(t, h).run("files", conv, "src/").want(t, 0, "/workspace/src\n", "")
	if h.called("GET "+filesURL+"?path=src") != 1 {
		t.Errorf("requests: %q", h.calls)
	}
	newCLI(t, h).run("files", conv, "--json").want(t, 0, `{"root":"/workspace","total_files":4,`, "")
}

func TestFilesShowAFile(t *testing.T) {
	h := newHost(t)
	h.handle("GET /api/files/{id}/{path}", func(w http.ResponseWriter, r *http.Request) {
		switch path := r.PathValue("path"); path {
		case "src/a b%.go", "\xff":
			_, _ = io.WriteString(w, `{"type":"text","path":"x","content":"package x\u001b[2J","language":"go","lines":1,"media_type":"text/x-go","size_bytes":9}`)
		case "long":
			_, _ = io.WriteString(w, `{"type":"text","path":"long","content":"begin\n","lines":1,"media_type":"text/plain","size_bytes":5000000,"truncated":true}`)
		case "empty":
			_, _ = io.WriteString(w, `{"type":"text","path":"empty","content":"","lines":0,"media_type":"text/plain","size_bytes":0}`)
		case "app.bin":
			_, _ = io.WriteString(w, `{"type":"binary","path":"app.bin","media_type":"application/octet-stream","size_bytes":2048}`)
		case "cat.png":
			w.Header().Set("Content-Type", "image/png")
			w.Header().Set("ETag", `"ab12"`)
			w.Header().Set("Content-Length", "3072")
			_, _ = w.Write(make([]byte, 3072))
			return
		case "dir":
			fail(w, http.StatusBadRequest, "dir is a folder")
			return
		default:
			fail(w, http.StatusNotFound, "not found: "+path)
			return
		}
	})
	h.keep("GET "+filesURL, tree)
	c := newCLI(t, h)
	// The fake host has no types on its answers but for the image's.
	next := h.mux
	h.mux = http.NewServeMux()
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		next.ServeHTTP(w, r)
	})
	for path, want := range map[string]string{
		"src/a b%.go":            "package x\x1b[2J\n", // no terminal: as it is
		"/workspace/src/a b%.go": "package x\x1b[2J\n",
		"\xff":                   "package x\x1b[2J\n",
		"empty":                  "",
		"app.bin":                "app.bin: application/octet-stream, 2.0 KiB; get it with: agcluster files get " + conv + " app.bin\n",
		"cat.png":                "cat.png: image/png, 3.0 KiB; get it with: agcluster files get " + conv + " cat.png\n",
	} {
		if r := c.run("files", conv, path); r.out != want || r.code != 0 {
			t.Errorf("%q: %+v", path, r)
		}
	}
	c.run("files", conv, "long").want(t, 0, "begin\n", "only the beginning of 4.8 MiB; get all of it with: agcluster files get "+conv+" long")
	c.run("files", conv, "cat.png", "--json").want(t, 0, `{"type":"image","path":"cat.png","media_type":"image/png","size_bytes":3072,"etag":"ab12"}`, "")
	c.run("files", conv, "dir").want(t, 0, "/workspace/dir\n", "")
	c.run("files", conv, "none").want(t, 1, "", "not found: none")
	s := sit(t, c, "files", conv, "src/a b%.go")
	s.see("package x\n")
	s.exits(0)
	if strings.Contains(s.screen(), "\x1b") {
		t.Errorf("a file steers the terminal: %q", s.screen())
	}
}

// transfer answers a call with a file, cut off after n bytes if n is not negative.
func (h *fakeHost) transfer(call, body, name string, n int) {
	h.instead[call] = func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		h.bodies[call] = b
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
		w.Header().Set("Content-Type", "application/zip")
		if strings.HasPrefix(call, "GET") {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		if n >= 0 {
			_, _ = io.WriteString(w, body[:n])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, body)
	}
}

const (
	getCall    = "GET " + filesURL + "/out/data.bin/download"
	exportCall = "POST " + filesURL + "/download"
	content    = "the bytes \x00\xff\x1b[2J of a file"
)

// here is a new working folder; listing tells what is in it.
func here(t *testing.T) (listing func() string) {
	dir := t.TempDir()
	t.Chdir(dir)
	return func() string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, e := range entries {
			b, err := os.ReadFile(e.Name())
			if err != nil {
				b = []byte("(folder)")
			}
			all = append(all, e.Name()+"="+string(b))
		}
		return strings.Join(all, " ")
	}
}

func TestTransfersArriveWholeOrNotAtAll(t *testing.T) {
	for name, test := range map[string]struct {
		args       []string
		call, file string
	}{
		"get":    {[]string{"files", "get", conv, "out/data.bin"}, getCall, "data.bin"},
		"export": {[]string{"export", conv}, exportCall, "work.zip"},
	} {
		t.Run(name, func(t *testing.T) {
			listing := here(t)
			h := newHost(t)
			c := newCLI(t, h)
			for n := range len(content) {
				h.transfer(test.call, content, "work.zip", n)
				c.run(test.args...).want(t, 1, "", "the transfer broke off")
				c.run(append(test.args, "-o", "-")...).want(t, 1, "", "the transfer broke off")
				if got := listing(); got != "" {
					t.Fatalf("cut after %d bytes: %s", n, got)
				}
			}
			h.transfer(test.call, content, "work.zip", -1)
			c.run(test.args...).want(t, 0, test.file+"  ", "")
			if got := listing(); got != test.file+"="+content {
				t.Fatalf("there is: %q", got)
			}
			h.transfer(test.call, "new", "work.zip", -1)
			c.run(test.args...).want(t, 1, "", test.file+" is there already; -f replaces it, -o names another")
			if got := listing(); got != test.file+"="+content {
				t.Fatalf("there is: %q", got)
			}
			c.run(append(test.args, "-f")...).want(t, 0, test.file, "")
			if got := listing(); got != test.file+"=new" {
				t.Fatalf("there is: %q", got)
			}
			h.transfer(test.call, content, "work.zip", 3)
			c.run(append(test.args, "-o", test.file)...).want(t, 1, "", "broke off")
			if got := listing(); got != test.file+"=new" {
				t.Fatalf("a broken transfer leaves: %q", got)
			}
			h.transfer(test.call, content, "work.zip", -1)
			if r := c.run(append(test.args, "-o", "-")...); r.out != content || r.code != 0 {
				t.Fatalf("on the standard output: %+v", r)
			}
		})
	}
}

func TestTransfersGoWhereTheyAreTold(t *testing.T) {
	listing := here(t)
	h := newHost(t)
	c := newCLI(t, h)
	h.transfer(exportCall, "zip", "work.zip", -1)
	if err := os.Mkdir("dir", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("real", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", "link"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	c.run("export", conv, "-o", "dir").want(t, 0, "dir/work.zip", "")
	c.run("export", conv, "-o", "dir/").want(t, 1, "", "dir/work.zip is there already")
	c.run("export", conv, "-o", "none/x.zip").want(t, 1, "", "no such file or directory")
	c.run("export", conv, "-o", "link").want(t, 0, "link", "")
	c.run("export", conv, "-o", "link", "--json").want(t, 0, `{"path":"link","size_bytes":3}`, "")
	if to, err := os.Readlink("link"); err != nil || to != "real" {
		t.Errorf("the link was replaced: %v", err)
	}
	read := make(chan string)
	go func() {
		b, _ := os.ReadFile("pipe")
		read <- string(b)
	}()
	c.run("export", conv, "-o", "pipe").want(t, 0, "pipe", "")
	if got := <-read; got != "zip" {
		t.Errorf("through the pipe: %q", got)
	}
	if err := os.Remove("pipe"); err != nil {
		t.Fatal(err)
	}
	if got := listing(); got != "dir=(folder) link=zip real=zip" {
		t.Errorf("there is: %q", got)
	}
}

func TestExportAsksForPathsAndExporter(t *testing.T) {
	here(t)
	h := newHost(t)
	h.transfer(exportCall, "tar", "../../evil\x1b.tar", -1)
	newCLI(t, h).run("export", conv, "src", "/workspace/docs", "--exporter", "tar").want(t, 0, conv+".zip  3 B", "")
	if got := string(h.bodies[exportCall]); got != `{"paths":["src","docs"],"exporter":"tar"}` {
		t.Errorf("asked for %s", got)
	}
	newCLI(t, h).run("export", conv, "\xff").want(t, 2, "", `\xff: a name that is no UTF-8`)
	h.instead[exportCall] = func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusRequestEntityTooLarge, "the workspace has more than 10,000 files")
	}
	newCLI(t, h).run("export", conv, "-o", "x.zip").want(t, 1, "", "more than 10,000 files")
	s := sit(t, newCLI(t, h), "export", conv, "-o", "-")
	s.see("an archive does not belong on a terminal")
	s.exits(2)
}

func TestFileOnATerminalIsMadeFit(t *testing.T) {
	h := newHost(t)
	h.transfer(getCall, content+"\n", "x", -1)
	s := sit(t, newCLI(t, h), "files", "get", conv, "out/data.bin", "-o", "-")
	s.see("the bytes \uFFFD of a file\n")
	s.exits(0)
}

func TestInterruptedTransferLeavesNothing(t *testing.T) {
	listing := here(t)
	h := newHost(t)
	c := newCLI(t, h)
	h.instead[exportCall] = func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		c.pressed <- os.Interrupt
		<-r.Context().Done()
	}
	c.run("export", conv, "-o", "x.zip").want(t, 130, "", "")
	if got := listing(); got != "" {
		t.Errorf("there is: %s", got)
	}
}

func TestAnswerWithoutAnEndIsRefused(t *testing.T) {
	listing := here(t)
	h := newHost(t)
	h.instead[exportCall] = func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\nContent-Type: application/zip\r\n\r\nhalf an arch")
		_ = conn.Close()
	}
	newCLI(t, h).run("export", conv).want(t, 1, "", "does not tell where it ends")
	if got := listing(); got != "" {
		t.Errorf("there is: %s", got)
	}
}

func TestUpload(t *testing.T) {
	listing := here(t)
	h := newHost(t)
	call := "POST " + filesURL + "/upload"
	var got bytes.Buffer
	h.instead[call] = func(w http.ResponseWriter, r *http.Request) {
		got.Reset()
		fmt.Fprintf(&got, "to=%s overwrite=%s", r.URL.Query().Get("target_path"), r.URL.Query().Get("overwrite"))
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			t.Error(err)
		}
		parts := multipart.NewReader(r.Body, params["boundary"])
		for {
			p, err := parts.NextPart()
			if err != nil {
				break
			}
			b, _ := io.ReadAll(p)
			fmt.Fprintf(&got, " %s:%s=%s", p.FormName(), p.FileName(), b)
		}
		answer(w, map[string]any{
			"session_id": conv, "target_path": "in", "total_files": 1, "total_size_bytes": 3,
			"uploaded": []map[string]any{{"name": "a", "path": "in/a", "size_bytes": 3}},
		})
	}
	for name, text := range map[string]string{"a": "one", `b "c".txt`: strings.Repeat("x", 100_000)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newCLI(t, h).run("files", "put", conv, "a").want(t, 0, "/workspace/in/a  3 B\n", "")
	if got.String() != "to= overwrite=false files:a=one" {
		t.Errorf("got %s", &got)
	}
	newCLI(t, h).run("files", "put", conv, "a", `b "c".txt`, "--to", "/workspace/in", "--overwrite", "--json").want(t, 0, `"total_files":1`, "")
	if want := `to=in overwrite=true files:a=one files:b "c".txt=xxx`; !strings.HasPrefix(got.String(), want) {
		t.Errorf("got %.200s", &got)
	}
	h.calls = nil
	for args, why := range map[string]string{
		"none": "no such file", ".": ". is no regular file", "a|./a": "a and ./a would both be called a",
	} {
		newCLI(t, h).run(append([]string{"files", "put", conv}, strings.Split(args, "|")...)...).want(t, 1, "", why)
	}
	newCLI(t, h).run("files", "put", conv).want(t, 2, "", "requires at least 2 arg")
	if len(h.calls) != 0 {
		t.Errorf("requests: %q", h.calls)
	}
	// A host that refuses at once needs not read what it does not want.
	h.instead[call] = func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusRequestEntityTooLarge, "more than 50 MiB")
	}
	if err := os.WriteFile("large", make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	newCLI(t, h).run("files", "put", conv, "large").want(t, 1, "", "agcluster: more than 50 MiB\n")
	if !strings.Contains(listing(), "a=one") {
		t.Error("an upload takes files away")
	}
}

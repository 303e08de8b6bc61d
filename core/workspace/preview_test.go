package workspace

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	png  = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00"
	avif = "\x00\x00\x00\x1cftypavif\x00\x00\x00\x00"
)

func TestPreviewTellsFromTheContent(t *testing.T) {
	for name, c := range map[string]struct {
		content, kind, language, encoding, media, text string
		lines                                          int
	}{
		"main.go":      {"package main\n", TypeText, "go", "utf-8", "text/plain", "package main\n", 1},
		"empty.txt":    {"", TypeText, "text", "utf-8", "text/plain", "", 0},
		"no-newline":   {"a\nb", TypeText, "text", "utf-8", "text/plain", "a\nb", 2},
		"run":          {"#!/usr/bin/env -S python3.11 -u\n", TypeText, "python", "utf-8", "text/plain", "#!/usr/bin/env -S python3.11 -u\n", 1},
		"page.html":    {"<html>", TypeText, "xml", "utf-8", "text/html", "<html>", 1},
		"pic.svg":      {"<svg/>", TypeText, "xml", "utf-8", "image/svg+xml", "<svg/>", 1},
		"lies.png":     {"<script>", TypeText, "text", "utf-8", "text/plain", "<script>", 1},
		"bom.json":     {"\xEF\xBB\xBF{}", TypeText, "json", "utf-8-bom", "application/json", "{}", 1},
		"le.txt":       {"\xFF\xFEh\x00i\x00\x3d\xd8\x00\xde", TypeText, "text", "utf-16le", "text/plain", "hi😀", 1},
		"be.txt":       {"\xFE\xFF\x00h\x00i", TypeText, "text", "utf-16be", "text/plain", "hi", 1},
		"BMW.txt":      {"BMW makes cars", TypeText, "text", "utf-8", "text/plain", "BMW makes cars", 1},
		"odd.txt":      {"\xFF\xFEh\x00i", TypeBinary, "", "", octetStream, "", 0},
		"half.txt":     {"\xFF\xFE\x3d\xd8h\x00", TypeBinary, "", "", octetStream, "", 0},
		"utf32.txt":    {"\xFF\xFE\x00\x00h\x00\x00\x00", TypeBinary, "", "", octetStream, "", 0},
		"latin.txt":    {"caf\xe9", TypeBinary, "", "", octetStream, "", 0},
		"nul.txt":      {"a\x00b", TypeBinary, "", "", octetStream, "", 0},
		"pic.png":      {png, TypeImage, "", "", "image/png", "", 0},
		"pic.txt":      {png, TypeImage, "", "", "image/png", "", 0},
		"pic.avif":     {avif, TypeImage, "", "", "image/avif", "", 0},
		"pic.bmp":      {"BM\x00\x01\x02\x03", TypeImage, "", "", "image/bmp", "", 0},
		"chance":       {"BM\x00\x01\x02\x03", TypeBinary, "", "", octetStream, "", 0},
		"chance.2":     {"\x00\x00\x01\x00\x02", TypeBinary, "", "", octetStream, "", 0},
		"a.ico":        {"\x00\x00\x01\x00\x02", TypeImage, "", "", "image/x-icon", "", 0},
		"paper.pdf":    {"%PDF-1.7 all ascii", TypeBinary, "", "", "application/pdf", "", 0},
		"a.zip":        {"PK\x03\x04\x00", TypeBinary, "", "", "application/zip", "", 0},
		"a.docx":       {"PK\x03\x04\x00", TypeBinary, "", "", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "", 0},
		"a.db":         {"SQLite format 3\x00\x01", TypeBinary, "", "", "application/vnd.sqlite3", "", 0},
		"prog":         {"\x7fELF\x02\x00", TypeBinary, "", "", "application/x-elf", "", 0},
		"markup.weird": {"<html>\xff\x00", TypeBinary, "", "", octetStream, "", 0},
	} {
		r := start(t, newBox(map[string]string{"d/" + name: c.content}), Config{}, nil)
		p, err := r.Preview(context.Background(), "s", "d/"+name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Type != c.kind || p.Language != c.language || p.Encoding != c.encoding || p.MediaType != c.media ||
			p.SizeBytes != int64(len(c.content)) || p.Truncated || p.Path != "d/"+name || !p.Modified.Equal(modified) {
			t.Errorf("%s: got %+v", name, p)
		}
		if isText := c.kind == TypeText; isText != (p.Content != nil) || isText != (p.Lines != nil) ||
			isText && (*p.Content != c.text || *p.Lines != c.lines) {
			t.Errorf("%s: got %v, %v", name, p.Content, p.Lines)
		}
	}
}

func TestALongTextIsCutBetweenCharacters(t *testing.T) {
	for content, want := range map[string]string{
		"1234567890":                             "12345678",
		"12345é7890":                             "12345é7",
		"1234567é":                               "1234567",
		"123456日本":                               "123456",
		"12345😀x":                                "12345",
		"\xFF\xFEa\x00b\x00\x3d\xd8\x00\xde":     "ab",
		"\xEF\xBB\xBF12345678":                   "12345",
		"12345678":                               "12345678",
		"1234567\xff89":                          "", // no text after all
		"\xFE\xFF\x00a\x00b\x00c\x00d\x00e\x00f": "abc",
	} {
		r := start(t, newBox(map[string]string{"f": content}), Config{MaxPreviewBytes: 8}, nil)
		p, err := r.Preview(context.Background(), "s", "f")
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			if p.Type != TypeBinary {
				t.Errorf("%q: got %+v", content, p)
			}
			continue
		}
		if p.Content == nil || *p.Content != want || p.Truncated != (len(content) > 8) || p.SizeBytes != int64(len(content)) {
			t.Errorf("%q: got %q, %+v", content, *p.Content, p)
		}
	}
}

func TestWhatCanNotBeReadIsToldApart(t *testing.T) {
	r := start(t, newBox(map[string]string{
		"dir/": "", "dir.d@": "dir", "pipe!": "", "out@": "/etc/passwd", "dead@": "nowhere", "f": "x",
	}), Config{}, nil)
	r.gates.denied["read f"] = true
	for path, want := range map[string]func(error) bool{
		"":          is(ErrIsDirectory),
		"dir":       is(ErrIsDirectory),
		"dir.d":     is(ErrIsDirectory),
		"pipe":      is(ErrNotRegular),
		"out":       is(ErrForbidden),
		"dead":      is(ErrNotFound),
		"none":      is(ErrNotFound),
		"../x":      isInvalidPath,
		"a\x00":     isInvalidPath,
		"/etc/x":    isInvalidPath,
		"f":         isRefused,
		"%2e%2e/x":  is(ErrNotFound),
		"pipe/down": is(ErrNotDirectory),
	} {
		if _, err := r.Preview(context.Background(), "s", path); !want(err) {
			t.Errorf("previewing %q: got %v", path, err)
		}
		if c, err := r.Open(context.Background(), "s", path); !want(err) || c != nil {
			t.Errorf("opening %q: got %v", path, err)
		}
	}
}

func TestManyLanguagesAreKnown(t *testing.T) {
	for name, want := range map[string]string{
		"a.py": "python", "a.js": "javascript", "a.tsx": "typescript", "a.go": "go", "a.rs": "rust", "a.rb": "ruby", "a.java": "java",
		"a.c": "c", "a.h": "c", "a.cpp": "cpp", "a.cs": "csharp", "a.php": "php", "a.swift": "swift", "a.kt": "kotlin", "a.sh": "bash",
		"a.sql": "sql", "a.html": "xml", "a.css": "css", "a.json": "json", "a.yaml": "yaml", "a.toml": "ini", "a.md": "markdown",
		"README.MD": "markdown", "Dockerfile": "dockerfile", "Dockerfile.dev": "dockerfile", "Makefile": "makefile", "go.mod": "go",
		"CMakeLists.txt": "cmake", ".bashrc": "bash", ".gitignore": "bash", "notes.txt": "text", "LICENSE": "text", "a.unknown": "text",
		"dir.go/file": "text", "a.py.bak": "text", "go": "text", "py": "text",
	} {
		if got := language("some/"+name, ""); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	for first, want := range map[string]string{
		"#!/bin/sh -e": "bash", "#!/usr/bin/env node": "javascript", "#!/usr/bin/perl -w": "perl", "#!/usr/bin/env A=b python2": "python",
		"#!/opt/own/thing": "text", "#!": "text", "# /bin/sh": "text",
	} {
		if got := language("run", first+"\nx"); got != want {
			t.Errorf("%s: got %s, want %s", first, got, want)
		}
	}
}

func TestDownloadsWithRanges(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	r := start(t, newBox(map[string]string{"d/f\"\n.txt": content}), Config{}, nil)
	get := func(header map[string]string) *httptest.ResponseRecorder {
		c, err := r.Open(context.Background(), "s", "d/f\"\n.txt")
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(c.Close(), c.Close()); err != nil {
				t.Error(err)
			}
		}()
		if c.Name != "f\"\n.txt" || c.Path != "d/f\"\n.txt" || c.Size != 10_000 || c.MediaType != plainText {
			t.Errorf("got %+v", c.File)
		}
		w := httptest.NewRecorder()
		w.Header().Set("ETag", c.ETag)
		w.Header().Set("Content-Type", c.MediaType)
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		for k, v := range header {
			req.Header.Set(k, v)
		}
		http.ServeContent(w, req, "", c.ModTime, c)
		return w
	}
	whole := get(nil)
	if whole.Code != 200 || whole.Body.String() != content {
		t.Errorf("got %d and %d bytes", whole.Code, whole.Body.Len())
	}
	etag := whole.Header().Get("ETag")
	for _, c := range []struct {
		header map[string]string
		code   int
		body   string
	}{
		{map[string]string{"Range": "bytes=5-14"}, 206, content[5:15]},
		{map[string]string{"Range": "bytes=-3"}, 206, "789"},
		{map[string]string{"Range": "bytes=9990-"}, 206, content[9990:]},
		{map[string]string{"Range": "bytes=5-14", "If-Range": etag}, 206, content[5:15]},
		{map[string]string{"Range": "bytes=5-14", "If-Range": `"other"`}, 200, content},
		{map[string]string{"Range": "bytes=20000-"}, 416, "invalid range: failed to overlap\n"},
		{map[string]string{"If-None-Match": etag}, 304, ""},
	} {
		if got := get(c.header); got.Code != c.code || got.Body.String() != c.body {
			t.Errorf("%v: got %d and %q", c.header, got.Code, got.Body)
		}
	}
}

func TestAFileThatChangesWhileItIsRead(t *testing.T) {
	open := func(b *box) *Content {
		c, err := start(t, b, Config{}, nil).Open(context.Background(), "s", "f")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	b := newBox(map[string]string{"f": "before"})
	c := open(b)
	b.items["f"] = item{kind: agent.EntryFile, content: "after!", mod: modified.Add(time.Millisecond)}
	if got, err := io.ReadAll(c); !errors.Is(err, ErrChanged) || len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
	b = newBox(map[string]string{"f": "before"})
	c = open(b)
	b.cut = 3
	if got, err := io.ReadAll(c); !errors.Is(err, ErrGone) || !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != "bef" {
		t.Errorf("a stream that is cut off: got %q, %v", got, err)
	}
	delete(b.items, "f")
	if _, err := c.Seek(-2, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrNotFound) {
		t.Errorf("a file that is gone: got %v", err)
	}
	if _, err := c.Seek(-9, io.SeekStart); err == nil {
		t.Error("a negative offset must fail")
	}
}

func TestABrowserIsToldNothingThatRuns(t *testing.T) {
	for name, c := range map[string][2]string{
		"a.html": {"<script>alert(1)</script>", plainText},
		"a.svg":  {"<svg onload='alert(1)'/>", plainText},
		"a.xml":  {"<?xml version='1.0'?><x/>", plainText},
		"a.js":   {"alert(1)", plainText},
		"b.html": {"<script>alert(1)</script>\x00", octetStream},
		"16.htm": {"\xFF\xFE<\x00", "text/plain; charset=utf-16le"},
		"a.png":  {png, "image/png"},
		"a.pdf":  {"%PDF-1.4", "application/pdf"},
		"a.zip":  {"PK\x03\x04\x00", octetStream},
		"a.mp4":  {"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video/mp4"},
		"a.wasm": {"\x00asm\x01\x00\x00\x00", octetStream},
	} {
		content, err := start(t, newBox(map[string]string{name: c[0]}), Config{}, nil).Open(context.Background(), "s", name)
		if err != nil {
			t.Fatal(err)
		}
		if content.MediaType != c[1] {
			t.Errorf("%s: got %s, want %s", name, content.MediaType, c[1])
		}
		if err := content.Close(); err != nil {
			t.Error(err)
		}
	}
}

package api

import (
	"cmp"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/zap"
)

// dashboardFiles are a build of web/, as far as this folder cares.
func dashboardFiles() fstest.MapFS {
	return fstest.MapFS{
		"index.html":            {Data: []byte("<!doctype html>" + strings.Repeat("<p>page</p>", 50))},
		"favicon.svg":           {Data: []byte("<svg/>")},
		"theme.js":              {Data: []byte("theme()")},
		"assets/main-1.js":      {Data: []byte(strings.Repeat("main();", 100))},
		"assets/main-1.css":     {Data: []byte(strings.Repeat("p{}", 100))},
		"assets/worker-1.mjs":   {Data: []byte("work()")},
		"assets/code-1.wasm":    {Data: []byte("\x00asm")},
		"assets/font-1.unheard": {Data: []byte("font")},
	}
}

// serveDashboard is a host with this build; nil has none.
func serveDashboard(t *testing.T, files fstest.MapFS) string {
	t.Helper()
	deps := Deps{Catalog: configs{}, Status: &host{}}
	if files != nil {
		deps.Dashboard = files
	}
	_, h := New(Config{}, deps, zap.NewNop())
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s.URL
}

// browse makes a request as a browser would that unpacks nothing by itself.
func browse(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	return exchange(t, method, url, "", append([]string{"Accept-Encoding", "identity"}, header...)...)
}

const (
	pageAccept   = "text/html,application/xhtml+xml,*/*;q=0.8"
	cacheForever = "public, max-age=31536000, immutable"
)

func TestTheDashboardServesItsFilesAndItsPage(t *testing.T) {
	url := serveDashboard(t, dashboardFiles())
	page := string(dashboardFiles()["index.html"].Data)
	for name, c := range map[string]struct {
		path, accept string
		status       int
		media, cache string
		body         string
	}{
		"the page":                      {"/", pageAccept, 200, "text/html; charset=utf-8", "no-cache", page},
		"the page, asked for by curl":   {"/", "*/*", 200, "text/html; charset=utf-8", "no-cache", page},
		"the page by its name":          {"/index.html", "*/*", 200, "text/html; charset=utf-8", "no-cache", page},
		"a deep link":                   {"/sessions/conv-1", pageAccept, 200, "text/html; charset=utf-8", "no-cache", page},
		"a deep link with a dot":        {"/sessions/conv-1/files/a.txt", pageAccept, 200, "text/html; charset=utf-8", "no-cache", page},
		"a deep link that is no page":   {"/sessions/conv-1", "image/*", 404, "application/problem+json", "no-store", ""},
		"a file beside the page":        {"/favicon.svg", "image/*", 200, "image/svg+xml", "no-cache", "<svg/>"},
		"a script of the page":          {"/theme.js", "*/*", 200, "text/javascript; charset=utf-8", "no-cache", "theme()"},
		"an asset":                      {"/assets/main-1.css", "text/css", 200, "text/css; charset=utf-8", cacheForever, strings.Repeat("p{}", 100)},
		"a script":                      {"/assets/main-1.js", "*/*", 200, "text/javascript; charset=utf-8", cacheForever, strings.Repeat("main();", 100)},
		"a module":                      {"/assets/worker-1.mjs", "*/*", 200, "text/javascript; charset=utf-8", cacheForever, "work()"},
		"WASM":                          {"/assets/code-1.wasm", "*/*", 200, "application/wasm", cacheForever, "\x00asm"},
		"a file of a kind unheard of":   {"/assets/font-1.unheard", "*/*", 200, "application/octet-stream", cacheForever, "font"},
		"an asset of an older build":    {"/assets/main-0.js", "*/*", 404, "application/problem+json", "no-store", ""},
		"the same, looked at as a page": {"/assets/main-0.js", pageAccept, 404, "application/problem+json", "no-store", ""},
		"the folder of assets":          {"/assets/", pageAccept, 404, "application/problem+json", "no-store", ""},
		"a way out":                     {"/..%2f..%2fetc/passwd", "*/*", 404, "application/problem+json", "no-store", ""},
		"a way out, as a page":          {"/assets/..%2f..%2fetc/passwd", pageAccept, 200, "text/html; charset=utf-8", "no-cache", page},
		"an unknown route of the API":   {"/api/nothing", pageAccept, 404, "application/problem+json", "no-store", ""},
		"a route of the API":            {"/api/configs/tools", pageAccept, 200, "application/json", "no-store", ""},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := browse(t, http.MethodGet, url+c.path, "Accept", c.accept)
			h := res.Header
			if res.StatusCode != c.status || h.Get("Content-Type") != c.media || h.Get("Cache-Control") != c.cache || c.body != "" && body != c.body {
				t.Errorf("%d %q %q %.80q", res.StatusCode, h.Get("Content-Type"), h.Get("Cache-Control"), body)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("unguarded: %v", h)
			}
			// What the dashboard itself serves, and nothing else, is under its policy.
			if c.body == "" {
				return
			}
			if h.Get("Cross-Origin-Opener-Policy") != "same-origin" || h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Encoding") != "" {
				t.Errorf("%v", h)
			}
			policy := h.Get("Content-Security-Policy")
			for _, directive := range []string{
				"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'",
			} {
				if !strings.Contains("; "+policy+";", "; "+directive+";") {
					t.Errorf("the policy lacks %q: %s", directive, policy)
				}
			}
			if strings.Contains(policy, "unsafe-eval") || strings.Contains(policy, "http") || strings.Count(policy, "unsafe-inline") != 1 {
				t.Errorf("the policy lets scripts in: %s", policy)
			}
		})
	}
}

func TestTheDashboardAnswersHeadAndNothingElse(t *testing.T) {
	url := serveDashboard(t, dashboardFiles())
	for _, path := range []string{"/", "/assets/main-1.js", "/sessions/conv-1"} {
		got, body := browse(t, http.MethodGet, url+path, "Accept", pageAccept)
		res, none := browse(t, http.MethodHead, url+path, "Accept", pageAccept)
		if res.StatusCode != 200 || none != "" || res.ContentLength != int64(len(body)) || res.Header.Get("Content-Type") != got.Header.Get("Content-Type") ||
			res.Header.Get("Cache-Control") != got.Header.Get("Cache-Control") || res.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("HEAD %s: %d %v %q", path, res.StatusCode, res.Header, none)
		}
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			if res, body := browse(t, method, url+path, "Accept", pageAccept); res.StatusCode != 404 || strings.Contains(body, "<p>") {
				t.Errorf("%s %s: %d %s", method, path, res.StatusCode, body)
			}
		}
	}
}

func TestTheDashboardIsPackedForThoseWhoUnpack(t *testing.T) {
	url := serveDashboard(t, dashboardFiles())
	for name, c := range map[string]struct {
		path, encoding string
		packed         bool
	}{
		"a script":                     {"/assets/main-1.js", "gzip, deflate, br", true},
		"the page":                     {"/", "br, gzip;q=0.5", true},
		"nobody unpacks":               {"/assets/main-1.js", "br", false},
		"somebody refuses it":          {"/assets/main-1.js", "gzip;q=0, identity", false},
		"what packing makes no better": {"/assets/code-1.wasm", "gzip", false},
	} {
		res, body := browse(t, http.MethodGet, url+c.path, "Accept", pageAccept, "Accept-Encoding", c.encoding)
		want := string(dashboardFiles()[cmp.Or(c.path[1:], "index.html")].Data)
		if packed := res.Header.Get("Content-Encoding") == "gzip"; packed != c.packed || res.ContentLength != int64(len(body)) || res.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %v", name, res.Header)
		}
		if c.packed {
			z, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			if len(body) >= len(b) {
				t.Errorf("%s: %d bytes became %d", name, len(b), len(body))
			}
			body = string(b)
		}
		if body != want {
			t.Errorf("%s: %.80q", name, body)
		}
	}
}

func TestAHostWithoutADashboardSaysSo(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{"none": nil, "a build without a page": {"assets/a.js": {Data: []byte("a")}}} {
		res, body := browse(t, http.MethodGet, serveDashboard(t, files)+"/", "Accept", pageAccept)
		if res.StatusCode != 404 || !strings.Contains(body, "there is no such page: GET /") {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
}

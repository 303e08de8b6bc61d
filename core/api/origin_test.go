package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestPagesOfOtherSitesChangeNothing(t *testing.T) {
	for name, c := range map[string]struct {
		method  string
		header  map[string]string
		refused bool
	}{
		"no browser":                           {http.MethodPost, nil, false},
		"no browser, a deletion":               {http.MethodDelete, nil, false},
		"no browser, a WebSocket":              {http.MethodGet, map[string]string{"Upgrade": "websocket"}, false},
		"the dashboard":                        {http.MethodPost, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://host.example"}, false},
		"the dashboard in an old browser":      {http.MethodPost, map[string]string{"Origin": "http://host.example"}, false},
		"the dashboard's WebSocket":            {http.MethodGet, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://host.example", "Upgrade": "websocket"}, false},
		"the dashboard behind a proxy":         {http.MethodPost, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:5173"}, false},
		"another site":                         {http.MethodPost, map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, true},
		"another site, a form":                 {http.MethodPost, map[string]string{"Origin": "https://evil.example"}, true},
		"another site's sandboxed page":        {http.MethodPost, map[string]string{"Origin": "null"}, true},
		"another host of the same site":        {http.MethodPut, map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://other.example"}, true},
		"another port of the same host":        {http.MethodDelete, map[string]string{"Origin": "http://host.example:9"}, true},
		"another site reads":                   {http.MethodGet, map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, false},
		"another site's WebSocket":             {http.MethodGet, map[string]string{"Origin": "https://evil.example", "Upgrade": "websocket"}, true},
		"another site's WebSocket, told of it": {http.MethodGet, map[string]string{"Sec-Fetch-Site": "cross-site", "Upgrade": "WebSocket"}, true},
	} {
		reached := false
		h := sameOrigin(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r.Method == c.method }))
		r := httptest.NewRequest(c.method, "http://host.example/api/x", nil)
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if reached == c.refused || c.refused && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "another site")) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestTheAPIRefusesPagesOfOtherSites(t *testing.T) {
	_, h := New(Config{}, Deps{}, zap.NewNop())
	r := httptest.NewRequest(http.MethodPost, "http://host.example/api/agents/launch", strings.NewReader(`{}`))
	r.Header.Set("Origin", "https://evil.example")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

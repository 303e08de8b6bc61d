package api

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// mustURL is the URL as net/http's server parses it from a request line.
func mustURL(t *testing.T, path string) *url.URL {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")))
	if err != nil {
		t.Logf("%s is refused by net/http itself: %v", path, err)
		return nil
	}
	return r.URL
}

package api

import (
	"net/http"
	"net/url"
	"strings"
)

const filesPrefix = "/api/files/"

// foldFilePath lets a file's path, slashes and all, be one parameter of a route. net/http would clean "..", "." and "//" away and
// redirect, and "/" in a parameter would need a wildcard, after which no "/download" can stand. So the path is decoded once, here,
// and encoded into one segment; whether it is a good path is for core/workspace to say.
func foldFilePath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, ok := strings.CutPrefix(r.URL.EscapedPath(), filesPrefix)
		id, encoded, deeper := strings.Cut(rest, "/")
		if !ok || !deeper || r.Method == http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		changes, download := "", false
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			// A file or folder of the workspace may be called changes, too; it is not asked since when.
			if since := r.URL.Query().Has("since"); since && encoded == "changes" {
				next.ServeHTTP(w, r)
				return
			} else if rest, ok := strings.CutPrefix(encoded, "changes/"); ok && since {
				encoded, changes = rest, "/changes"
			} else {
				encoded, download = strings.CutSuffix(encoded, "/download")
			}
		}
		path, err := url.PathUnescape(encoded)
		if err != nil {
			writeProblem(w, http.StatusBadRequest, "the path is not percent-encoded as it should be")
			return
		}
		if path == "" && !download {
			next.ServeHTTP(w, r)
			return
		}
		folded := *r.URL
		folded.Path = filesPrefix + id + changes + "/" + path
		folded.RawPath = filesPrefix + id + changes + "/" + segment(path)
		if download {
			folded.Path += "/download"
			folded.RawPath += "/download"
		}
		next.ServeHTTP(w, withURL(r, &folded))
	})
}

func withURL(r *http.Request, u *url.URL) *http.Request {
	r2 := r.WithContext(r.Context())
	r2.URL = u
	return r2
}

// segment encodes every byte of a path that could mean something to a router, and the first, so that it is no other route's name.
func segment(path string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		switch {
		case i > 0 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'):
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

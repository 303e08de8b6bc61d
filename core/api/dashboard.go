package api

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// dashboardPolicy is the Content-Security-Policy of every page. Scripts come from the host's own files and from nowhere else. Styles may be
// inline because editors and terminals compute theirs; with images, fonts and connections bound to this origin (and to what the page made
// itself: blob and data) a style can send nothing away.
const dashboardPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; " +
	"font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; frame-src 'self' blob:; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// assets is the folder of what the build names by content.
const assets = "assets/"

// asset is a file of the dashboard. zipped is nil when compression gains nothing.
type asset struct {
	plain, zipped []byte
	media         string
}

// dashboard serves the production build of web/ and, for the addresses that only the dashboard knows, its page. It is safe for concurrent use.
type dashboard struct {
	files fs.FS
	mu    sync.Mutex
	made  map[string]*asset
}

func newDashboard(files fs.FS) *dashboard { return &dashboard{files: files, made: map[string]*asset{}} }

// serve answers a GET or HEAD that no route answers; false says that it is not for the dashboard.
func (d *dashboard) serve(w http.ResponseWriter, r *http.Request) bool {
	if d.files == nil || r.Method != http.MethodGet && r.Method != http.MethodHead || strings.HasPrefix(r.URL.Path, "/api/") {
		return false
	}
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	a := d.asset(name)
	if a == nil {
		// A deep link. Something that wants no page (a script, a picture) learns that there is none, and so does who looks for an asset of
		// another build.
		if strings.HasPrefix(name+"/", assets) || !strings.Contains(r.Header.Get("Accept"), "text/html") {
			return false
		}
		name = "index.html"
		if a = d.asset(name); a == nil {
			return false
		}
	}
	h := w.Header()
	h.Set("Content-Type", a.media)
	h.Set("Content-Security-Policy", dashboardPolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	// The build names what it makes by content; everything else has to be asked for anew.
	if strings.HasPrefix(name, assets) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	body := a.plain
	if a.zipped != nil && unpacks(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = a.zipped
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client went away
	}
	return true
}

// asset returns the file called name, or nil. It is read and compressed once.
func (d *dashboard) asset(name string) *asset {
	if !fs.ValidPath(name) || name == "." {
		name = "index.html"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if a, ok := d.made[name]; ok {
		return a
	}
	plain, err := fs.ReadFile(d.files, name)
	if err != nil {
		return nil
	}
	a := &asset{plain: plain, media: mime.TypeByExtension(path.Ext(name))}
	switch path.Ext(name) {
	case ".js", ".mjs":
		a.media = "text/javascript; charset=utf-8"
	case ".wasm":
		a.media = "application/wasm"
	}
	if a.media == "" {
		a.media = "application/octet-stream"
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(plain); err == nil && z.Close() == nil && zipped.Len() < len(plain)*9/10 {
		a.zipped = zipped.Bytes()
	}
	d.made[name] = a
	return a
}

// unpacks says whether gzip is among the encodings that a client accepts, and not with a weight of nothing.
func unpacks(accepted string) bool {
	for encoding := range strings.SplitSeq(accepted, ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(encoding, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			q, err := strconv.ParseFloat(strings.TrimPrefix(weight, "q="), 64)
			return err != nil || q > 0
		}
	}
	return false
}

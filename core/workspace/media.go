package workspace

import (
	"bytes"
	"net/http"
	"path"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	plainText   = "text/plain; charset=utf-8"
	octetStream = "application/octet-stream"
)

// text is what bytes say when they are a text.
type text struct {
	content  string
	encoding string
}

// decode reads a text in UTF-8, or in UTF-16 with its mark; cut says that b ends somewhere in the file. What holds a NUL or is
// not well-formed is no text.
func decode(b []byte, cut bool) (text, bool) {
	t := text{encoding: "utf-8"}
	switch {
	case bytes.HasPrefix(b, []byte{0xEF, 0xBB, 0xBF}):
		b, t.encoding = b[3:], "utf-8-bom"
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}):
		t.encoding = "utf-16le"
	case bytes.HasPrefix(b, []byte{0xFE, 0xFF}):
		t.encoding = "utf-16be"
	}
	var ok bool
	if strings.HasPrefix(t.encoding, "utf-16") {
		t.content, ok = decode16(b[2:], t.encoding == "utf-16be", cut)
	} else {
		if cut {
			b = wholeRunes(b)
		}
		t.content, ok = string(b), utf8.Valid(b)
	}
	return t, ok && !strings.ContainsRune(t.content, 0)
}

// wholeRunes leaves out the beginning of a rune at the end.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

func decode16(b []byte, bigEndian, cut bool) (string, bool) {
	if len(b)%2 != 0 && !cut {
		return "", false
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
		if bigEndian {
			units[i] = units[i]>>8 | units[i]<<8
		}
	}
	if n := len(units); cut && n > 0 && units[n-1]&0xFC00 == 0xD800 {
		units = units[:n-1]
	}
	runes := utf16.Decode(units)
	for _, r := range runes {
		// Decode puts it where halves of pairs stand alone. Who means the character itself will not mind a description.
		if r == utf8.RuneError {
			return "", false
		}
	}
	return string(runes), true
}

// describe tells the media type of what is no text, from its first bytes; the name decides only between types that begin alike, or
// for signatures so short that chance writes them.
func describe(head []byte, name string) string {
	ext := strings.ToLower(path.Ext(name))
	kind, _, _ := strings.Cut(http.DetectContentType(head), ";")
	switch {
	case kind == "image/bmp" && ext != ".bmp" && ext != ".dib", kind == "image/x-icon" && ext != ".ico" && ext != ".cur",
		strings.HasPrefix(kind, "text/"):
		return octetStream
	case kind == "application/zip":
		return zipped(ext)
	case kind != octetStream:
		return kind
	case len(head) >= 12 && string(head[4:8]) == "ftyp" && (string(head[8:12]) == "avif" || string(head[8:12]) == "avis"):
		return "image/avif"
	case bytes.HasPrefix(head, []byte("SQLite format 3\x00")):
		return "application/vnd.sqlite3"
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return "application/x-elf"
	default:
		return octetStream
	}
}

// zipped tells apart what is a zip inside.
func zipped(ext string) string {
	const office = "application/vnd.openxmlformats-officedocument."
	switch ext {
	case ".docx":
		return office + "wordprocessingml.document"
	case ".xlsx":
		return office + "spreadsheetml.sheet"
	case ".pptx":
		return office + "presentationml.presentation"
	case ".odt":
		return "application/vnd.oasis.opendocument.text"
	case ".ods":
		return "application/vnd.oasis.opendocument.spreadsheet"
	case ".epub":
		return "application/epub+zip"
	case ".jar":
		return "application/java-archive"
	default:
		return "application/zip"
	}
}

// safe keeps the media types that do nothing in a browser but show themselves. SVG and HTML are texts and never get here.
func safe(mediaType string) string {
	switch major, _, _ := strings.Cut(mediaType, "/"); {
	case major == "image", major == "audio", major == "video", mediaType == "application/pdf", mediaType == "application/ogg":
		return mediaType
	default:
		return octetStream
	}
}

// isPDF says whether b is a PDF: the one format that can be well-formed UTF-8 and still is no text.
func isPDF(b []byte) bool { return bytes.HasPrefix(b, []byte("%PDF-")) }

// textType is the media type of a text by its name. It describes; it is never what a browser is told.
func textType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".html", ".htm", ".xhtml":
		return "text/html"
	case ".css":
		return "text/css"
	case ".csv":
		return "text/csv"
	case ".js", ".mjs", ".cjs":
		return "text/javascript"
	case ".json":
		return "application/json"
	case ".md", ".markdown":
		return "text/markdown"
	case ".svg":
		return "image/svg+xml"
	case ".xml":
		return "application/xml"
	case ".yaml", ".yml":
		return "application/yaml"
	default:
		return "text/plain"
	}
}

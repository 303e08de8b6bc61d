package telemetry

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap/zapcore"
)

const (
	keyPrefix = "sk-ant-"
	// minKey is how much must follow the prefix to be a key: text that only speaks of keys stays, and so does sk-ant-api03-.
	minKey = 7
	masked = "***"
	// minSecret is how long a registered secret must be: a shorter one is a word that entries consist of.
	minSecret = 8
	// filterBits is the size of the filter over the beginnings of registered secrets, as a power of two.
	filterBits = 12
)

// Redactor replaces secrets by ***: everything that looks like an Anthropic key, and what is registered with Add. It is safe for
// concurrent use. The cost of an entry grows with its length, hardly with the number of secrets.
//
// It works on encoded entries and not on fields, because only there everything has become text: messages, names, nested errors,
// objects that encode themselves, byte strings, and the context of a logger that was made long before a secret was known. A secret
// is therefore looked for in each form that the encoders give it: as it is, escaped, and in base64 at the three offsets it can have.
type Redactor struct {
	// encodedKeys are the ways in which the prefix of a key begins in base64.
	encodedKeys [][]byte

	mu    sync.RWMutex
	count map[string]int
	// forms holds all forms of all secrets by their first eight bytes; filter counts them by a hash of the first four.
	forms  map[uint64][]string
	filter [1 << filterBits]uint32
}

// NewRedactor returns a Redactor that knows what Anthropic keys look like.
func NewRedactor() *Redactor {
	r := &Redactor{count: map[string]int{}, forms: map[uint64][]string{}}
	for _, form := range inBase64(keyPrefix) {
		r.encodedKeys = append(r.encodedKeys, []byte(form))
	}
	return r
}

// Add registers a secret of at least 8 bytes; shorter ones are not redacted. It counts: the secret is forgotten when Remove has
// been called as often.
func (r *Redactor) Add(secret string) {
	if !registrable(secret) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count[secret]++; r.count[secret] > 1 {
		return
	}
	for _, form := range formsOf(secret) {
		head := headOf([]byte(form))
		r.forms[head] = append(r.forms[head], form)
		r.filter[slot(head)]++
	}
}

// Remove takes back one Add.
func (r *Redactor) Remove(secret string) {
	if !registrable(secret) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count[secret] == 0 {
		return
	}
	if r.count[secret]--; r.count[secret] > 0 {
		return
	}
	delete(r.count, secret)
	for _, form := range formsOf(secret) {
		head := headOf([]byte(form))
		// Another secret may have the same form; one entry is this one's.
		if i := slices.Index(r.forms[head], form); i >= 0 {
			r.forms[head] = slices.Delete(r.forms[head], i, i+1)
			r.filter[slot(head)]--
		}
		if len(r.forms[head]) == 0 {
			delete(r.forms, head)
		}
	}
}

// registrable says whether a secret needs to be known: an Anthropic key is found by its looks.
func registrable(secret string) bool {
	key := strings.HasPrefix(secret, keyPrefix) && len(secret) >= len(keyPrefix)+minKey
	return len(secret) >= minSecret && (!key || run([]byte(secret), 0, isKey) < len(secret))
}

// Redact returns text with the secrets in it replaced.
func (r *Redactor) Redact(text string) string { return string(r.redact([]byte(text))) }

// Sink returns a WriteSyncer that redacts each write before out gets it. An entry must come in one write, as zap gives it.
func (r *Redactor) Sink(out zapcore.WriteSyncer) zapcore.WriteSyncer { return &sink{r, out} }

type sink struct {
	redactor *Redactor
	zapcore.WriteSyncer
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	if _, err := s.WriteSyncer.Write(s.redactor.redact(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// redact returns p itself when there is nothing to hide, else a copy.
func (r *Redactor) redact(p []byte) []byte {
	spans := r.find(p)
	if len(spans) == 0 {
		return p
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	out := make([]byte, 0, len(p))
	end := 0
	for _, s := range spans {
		if s.from >= end {
			out = append(append(out, p[end:s.from]...), masked...)
		}
		end = max(end, s.to)
	}
	return append(out, p[end:]...)
}

type span struct{ from, to int }

func (r *Redactor) find(p []byte) []span {
	spans := findKeys(nil, p, []byte(keyPrefix), isKey)
	for _, prefix := range r.encodedKeys {
		spans = findKeys(spans, p, prefix, isBase64)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.forms) == 0 {
		return spans
	}
	for i := 0; i+minSecret <= len(p); i++ {
		head := headOf(p[i:])
		if r.filter[slot(head)] == 0 {
			continue
		}
		longest := 0
		for _, form := range r.forms[head] {
			if len(form) > longest && len(form) <= len(p)-i && string(p[i:i+len(form)]) == form {
				longest = len(form)
			}
		}
		if longest > 0 {
			spans = append(spans, span{i, i + longest})
			i += longest - 1
		}
	}
	return spans
}

// findKeys adds what begins with prefix and goes on with enough letters of its alphabet.
func findKeys(spans []span, p, prefix []byte, alphabet func(byte) bool) []span {
	for from := 0; ; {
		i := bytes.Index(p[from:], prefix)
		if i < 0 {
			return spans
		}
		i += from
		from = run(p, i+len(prefix), alphabet)
		if from-i-len(prefix) >= minKey {
			spans = append(spans, span{i, from})
		}
	}
}

// run is where the letters of an alphabet end that begin at from.
func run(p []byte, from int, alphabet func(byte) bool) int {
	for from < len(p) && alphabet(p[from]) {
		from++
	}
	return from
}

func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
func isKey(c byte) bool    { return isLetter(c) || c == '-' || c == '_' }
func isBase64(c byte) bool { return isLetter(c) || c == '+' || c == '/' || c == '=' }

// headOf needs eight bytes.
func headOf(p []byte) uint64 { return binary.LittleEndian.Uint64(p) }

func slot(head uint64) uint32 { return uint32(head) * 2654435761 >> (32 - filterBits) } //nolint:gosec // the first four bytes

// formsOf lists the ways in which the encoders write a secret.
func formsOf(secret string) []string {
	forms := []string{secret}
	add := func(form string) {
		if len(form) >= minSecret && !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	for _, html := range []bool{false, true} {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(html)
		if enc.Encode(secret) == nil {
			add(strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n"))
		}
	}
	// zap escapes in its own way.
	zap := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m", SkipLineEnding: true})
	if b, err := zap.EncodeEntry(zapcore.Entry{Message: secret}, nil); err == nil {
		add(strings.TrimSuffix(strings.TrimPrefix(b.String(), `{"m":"`), `"}`))
		b.Free()
	}
	for _, form := range inBase64(secret) {
		add(form)
	}
	return forms
}

// inBase64 is what a text looks like within something longer that is encoded: at each of the three offsets, without the letters
// that depend on what is around it.
func inBase64(text string) []string {
	var forms []string
	for offset := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + text))
		from, to := (offset*8+5)/6, (offset+len(text))*8/6
		forms = append(forms, encoded[from:to])
	}
	return forms
}

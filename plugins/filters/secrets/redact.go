package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/zricethezav/gitleaks/v8/detect"
)

const (
	// window is how many bytes are searched at a time, overlap how many of them are searched twice so that a credential on the
	// border is seen whole.
	window  = 256 << 10
	overlap = 8 << 10
	// minSecret is how long a finding must be to be replaced wherever else it stands.
	minSecret = 8
)

// redactor finds and replaces credentials.
type redactor struct {
	detector *detect.Detector
	allow    []*regexp.Regexp
}

func newRedactor(allow []string) (*redactor, error) {
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return nil, fmt.Errorf("loading the rules: %w", err)
	}
	r := &redactor{detector: d}
	for _, expr := range allow {
		re, err := regexp.Compile(expr)
		if err != nil {
			return nil, fmt.Errorf("options.allow: %w", err)
		}
		r.allow = append(r.allow, re)
	}
	return r, nil
}

// json redacts every string of a JSON value, keys too, and keeps its shape. It returns the rules that found something.
func (r *redactor) json(raw json.RawMessage) (json.RawMessage, []string, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, nil, fmt.Errorf("reading the value: %w", err)
	}
	found := map[string]string{}
	r.collect(value, found)
	if len(found) == 0 {
		return raw, nil, nil
	}
	clean, err := json.Marshal(replaceAll(value, replacer(found)))
	if err != nil {
		return nil, nil, fmt.Errorf("writing the value: %w", err)
	}
	return clean, slices.Compact(slices.Sorted(maps.Values(found))), nil
}

// collect maps the secrets in value to the rules that found them.
func (r *redactor) collect(value any, found map[string]string) {
	switch v := value.(type) {
	case string:
		r.search(v, found)
	case []any:
		for _, e := range v {
			r.collect(e, found)
		}
	case map[string]any:
		for k, e := range v {
			r.search(k, found)
			r.collect(e, found)
		}
	}
}

func (r *redactor) search(text string, found map[string]string) {
	for {
		part := text
		if len(part) > window {
			part = part[:window]
		}
		for _, f := range r.detector.DetectString(part) {
			if f.Secret != "" && !r.allowed(f.Secret) {
				found[f.Secret] = f.RuleID
			}
		}
		if len(text) <= window {
			return
		}
		text = text[window-overlap:]
	}
}

func (r *redactor) allowed(secret string) bool {
	return slices.ContainsFunc(r.allow, func(re *regexp.Regexp) bool { return re.MatchString(secret) })
}

// replacer replaces the longest secrets first, so that one that contains another goes whole.
func replacer(found map[string]string) *strings.Replacer {
	secrets := slices.Collect(maps.Keys(found))
	slices.SortFunc(secrets, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	var pairs []string
	for _, s := range secrets {
		pairs = append(pairs, s, "[redacted: "+found[s]+"]")
		// Tools show text with escapes too, as in a JSON document within a string.
		if quoted, err := json.Marshal(s); err == nil && len(s) >= minSecret {
			if inner := string(quoted[1 : len(quoted)-1]); inner != s {
				pairs = append(pairs, inner, "[redacted: "+found[s]+"]")
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

func replaceAll(value any, r *strings.Replacer) any {
	switch v := value.(type) {
	case string:
		return r.Replace(v)
	case []any:
		for i := range v {
			v[i] = replaceAll(v[i], r)
		}
		return v
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[r.Replace(k)] = replaceAll(e, r)
		}
		return out
	default:
		return v
	}
}

func list(rules []string) string { return strings.Join(rules, ", ") }

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/zricethezav/gitleaks/v8/detect"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	// window is how many bytes are searched at a time, overlap how many of them are searched twice so that a credential on the
	// border is seen whole.
	window  = 256 << 10
	overlap = 8 << 10
	// minSecret is how long a secret must be to be replaced wherever else it stands: "test" is a password in one place and a word in
	// all others.
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
	// Whoever wrote the text must not be able to switch the rules off by a comment in it.
	d.IgnoreGitleaksAllow = true
	r := &redactor{detector: d}
	for i, expr := range allow {
		re, err := regexp.Compile(expr)
		if err != nil {
			return nil, sdk.Permanent(fmt.Errorf("options.allow[%d]: %w", i, err))
		}
		r.allow = append(r.allow, re)
	}
	return r, nil
}

// finding is a text that must go, what stands there instead, and the rule that found it.
type finding struct{ text, instead, rule string }

// json redacts every string of a JSON value, keys too, and keeps its shape. It returns the rules that found something.
func (r *redactor) json(ctx context.Context, raw json.RawMessage) (json.RawMessage, []string, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, nil, fmt.Errorf("reading the value: %w", err)
	}
	found := map[string]finding{}
	if err := r.collect(ctx, value, found); err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		return raw, nil, nil
	}
	clean, err := json.Marshal(replaceAll(value, replacer(found)))
	if err != nil {
		return nil, nil, fmt.Errorf("writing the value: %w", err)
	}
	rules := map[string]bool{}
	for _, f := range found {
		rules[f.rule] = true
	}
	return clean, slices.Sorted(maps.Keys(rules)), nil
}

// collect gathers what must go from value.
func (r *redactor) collect(ctx context.Context, value any, found map[string]finding) error {
	switch v := value.(type) {
	case string:
		return r.search(ctx, v, found)
	case []any:
		for _, e := range v {
			if err := r.collect(ctx, e, found); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, e := range v {
			if err := r.search(ctx, k, found); err != nil {
				return err
			}
			if err := r.collect(ctx, e, found); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *redactor) search(ctx context.Context, text string, found map[string]finding) error {
	for {
		part := text
		if len(part) > window {
			part = part[:window]
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, hit := range r.detector.DetectString(part) {
			if hit.Secret == "" || r.allowed(hit.Secret) {
				continue
			}
			f := finding{text: hit.Secret, instead: "[redacted: " + hit.RuleID + "]", rule: hit.RuleID}
			if len(hit.Secret) < minSecret {
				f.text, f.instead = hit.Match, strings.ReplaceAll(hit.Match, hit.Secret, f.instead)
			}
			found[f.text] = f
		}
		if len(text) <= window {
			return nil
		}
		text = text[window-overlap:]
	}
}

func (r *redactor) allowed(secret string) bool {
	return slices.ContainsFunc(r.allow, func(re *regexp.Regexp) bool { return re.MatchString(secret) })
}

// replacer replaces the longest texts first, so that one that contains another goes whole.
func replacer(found map[string]finding) *strings.Replacer {
	all := slices.SortedFunc(maps.Values(found), func(a, b finding) int {
		return cmp.Or(cmp.Compare(len(b.text), len(a.text)), strings.Compare(a.text, b.text))
	})
	var pairs []string
	for _, f := range all {
		pairs = append(pairs, f.text, f.instead)
		// Tools show text with escapes too, as in a JSON document within a string.
		if quoted, err := json.Marshal(f.text); err == nil {
			if inner := string(quoted[1 : len(quoted)-1]); inner != f.text {
				pairs = append(pairs, inner, f.instead)
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

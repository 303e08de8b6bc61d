package main

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// maxProblem bounds the body of an error answer, in bytes.
const maxProblem = 256 << 10

// problem is an error that the API answered with (RFC 9457).
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

// Error implements error: one sentence, and a line for each field.
func (p *problem) Error() string {
	var b strings.Builder
	switch {
	case p.Detail != "":
		b.WriteString(line(p.Detail))
	case p.Title != "":
		b.WriteString(line(p.Title))
	default:
		fmt.Fprintf(&b, "the host answered %d %s", p.Status, http.StatusText(p.Status))
	}
	for _, e := range p.Errors {
		b.WriteString("\n  ")
		// People gave flags and arguments; where the API looks for them is no concern of theirs.
		if at := strings.TrimPrefix(strings.TrimPrefix(line(e.Location), "body"), "."); at != "" {
			b.WriteString(at + ": ")
		}
		b.WriteString(line(e.Message))
	}
	return b.String()
}

// permanent says that asking again is of no use.
func (p *problem) permanent() bool {
	return p.Status < 500 && p.Status != http.StatusRequestTimeout && p.Status != http.StatusTooManyRequests
}

// failure reads an error answer.
func (c *client) failure(res *http.Response) error {
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || (media != "application/problem+json" && media != "application/json") {
		return c.stranger(res)
	}
	p := &problem{}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	if err != nil || json.Unmarshal(b, p) != nil {
		p = &problem{}
	}
	p.Status = res.StatusCode
	return p
}

// strangerError says that it does not look like the API. A proxy in front of it may speak so for a while.
type strangerError struct {
	text   string
	status int
}

// Error implements error.
func (e strangerError) Error() string { return e.text }

func (c *client) stranger(res *http.Response) error {
	text := fmt.Sprintf("%s answered %s", c.base, line(res.Status))
	if media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err == nil {
		text += " with " + line(media)
	}
	if to := res.Header.Get("Location"); to != "" {
		text += " and points to " + line(to)
	}
	return strangerError{text + "; is it an AgCluster host?", res.StatusCode}
}

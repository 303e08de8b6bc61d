package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/agcluster/agcluster/core/api"
)

// interruption is a Ctrl-C.
type interruption = os.Signal

// typedLine is a line that a person typed, and when; or why there are no more.
type typedLine struct {
	text string
	at   time.Time
	err  error
}

// lineReader reads lines as they are typed. A read of a terminal can't be called off everywhere, so its goroutine ends with its
// input or with the process.
type lineReader struct{ c chan typedLine }

// typedAhead bounds how many lines can be typed before they are wanted; more wait in the terminal.
const typedAhead = 256

func (g *globals) typedLines() *lineReader {
	if g.lines != nil {
		return g.lines
	}
	g.lines = &lineReader{c: make(chan typedLine, typedAhead)}
	go func(in io.Reader, c chan<- typedLine) {
		defer close(c)
		r := bufio.NewReader(in)
		for {
			text, err := readLine(r, maxMessage)
			if err != nil {
				c <- typedLine{at: time.Now(), err: err}
				return
			}
			c <- typedLine{text: string(bytes.TrimRight(text, "\r")), at: time.Now()}
		}
	}(g.in, g.lines.c)
	return g.lines
}

// loop is a conversation on a terminal: a message, its turn, the next message.
func (cv *conversation) loop(ctx context.Context) error {
	var rec api.Session
	if _, err := cv.c.call(ctx, request{method: http.MethodGet, path: sessionPath(cv.session)}, &rec); err != nil {
		return err
	}
	st := cv.view.style
	intro := line(rec.Name) + " · " + line(rec.Status) + " · Ctrl-C interrupts a turn, Ctrl-D leaves"
	if err := cv.view.block(false, "", st.dim(intro)); err != nil {
		return err
	}
	if rec.Activity != "idle" && rec.Turn > 0 {
		s := cv.stream()
		s.turn = rec.Turn
		if err := cv.survive(cv.watch(ctx, s, nil)); err != nil {
			return err
		}
	}
	for {
		message, err := cv.prompt(ctx)
		if errors.Is(err, io.EOF) {
			return cv.view.write("\n")
		}
		if err != nil {
			return err
		}
		if err := cv.survive(cv.send(ctx, message)); err != nil {
			return err
		}
	}
}

// survive ends a turn of a loop: what went wrong in it is shown, and only what will go wrong again ends the loop.
func (cv *conversation) survive(_ string, err error) error {
	var p *problem
	var usage usageError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p) && (!p.permanent() || p.Status == http.StatusConflict || p.Status == http.StatusUnprocessableEntity),
		errors.Is(err, errBroken), errors.As(err, &usage):
		cv.aside("%s", shownError{err, cv.g.key})
		return nil
	default:
		return err
	}
}

// prompt reads the next message; io.EOF is Ctrl-D.
func (cv *conversation) prompt(ctx context.Context) (string, error) {
	var lines []string
	pressed := 0
	for {
		mark := "› "
		if len(lines) > 0 {
			mark = "… "
		}
		if len(lines) == 0 && pressed == 0 {
			if err := cv.view.open(true); err != nil {
				return "", err
			}
		}
		if err := cv.view.write(cv.view.style.bold(mark)); err != nil {
			return "", err
		}
		text, err := cv.next(ctx)
		switch {
		case errors.Is(err, errInterrupted) && pressed > 0:
			return "", errInterrupted
		case errors.Is(err, errInterrupted):
			pressed++
			lines = nil
			cv.aside("once more, or Ctrl-D, to leave")
			continue
		case err != nil:
			return "", err
		}
		cv.view.midline = false // the person's Enter has ended it
		pressed = 0
		if more, ok := strings.CutSuffix(text, `\`); ok {
			lines = append(lines, more)
			continue
		}
		lines = append(lines, text)
		message := strings.Join(lines, "\n")
		lines = nil
		if strings.TrimSpace(message) != "" {
			return message, nil
		}
	}
}

// next is the next line that is typed, or was while a turn ran.
func (cv *conversation) next(ctx context.Context) (string, error) {
	if len(cv.typed) > 0 {
		text := cv.typed[0]
		cv.typed = cv.typed[1:]
		return text, cv.view.write(clean(text) + "\n") // it went by long ago
	}
	select {
	case l, ok := <-cv.g.typedLines().c:
		if !ok || l.err != nil {
			return "", io.EOF
		}
		return l.text, nil
	case <-cv.pressed:
		return "", errInterrupted
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

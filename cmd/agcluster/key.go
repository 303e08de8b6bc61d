package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// keyVariables are where the key is looked for, the best first.
func keyVariables() []string { return []string{"AGCLUSTER_API_KEY", "ANTHROPIC_API_KEY"} }

// apiKey finds the key once: in the environment, else by asking a person.
func (g *globals) apiKey(host *url.URL) (string, error) {
	if g.key != "" {
		return g.key, nil
	}
	key, from := "", ""
	for _, name := range keyVariables() {
		if v, _ := g.env(name); v != "" {
			key, from = v, name
			break
		}
	}
	if key == "" {
		typed, err := g.askKey()
		if err != nil {
			return "", err
		}
		key, from = typed, "the answer"
	}
	key = strings.TrimSpace(key)
	switch {
	case key == "":
		return "", fmt.Errorf("%s: the key is empty", from)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "", fmt.Errorf("%s: a key is printable ASCII without spaces", from)
	}
	if host.Scheme == "http" && !loopback(host.Hostname()) {
		g.note("warning: the key goes to %s unencrypted; use https", host.Host)
	}
	g.key = key
	return key, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// askKey asks for the key without showing it.
func (g *globals) askKey() (string, error) {
	f, ok := terminal(g.in)
	if !ok || !isTerminal(g.err) {
		return "", fmt.Errorf("no key: set %s", strings.Join(keyVariables(), " or "))
	}
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("asking for the key: %w", err)
	}
	// Before the question appears: what is pasted the moment it does must not be echoed either.
	if err := hush(fd); err != nil {
		return "", fmt.Errorf("asking for the key: %w", err)
	}
	pressed, stop := g.interrupts()
	defer stop()
	type answer struct {
		key []byte
		err error
	}
	answered := make(chan answer, 1)
	fmt.Fprint(g.err, "Anthropic API key (not shown): ")
	go func() {
		b, err := readTyped(f)
		answered <- answer{b, err}
	}()
	select {
	case a := <-answered:
		fmt.Fprintln(g.err)
		if err := errors.Join(a.err, term.Restore(fd, before)); err != nil {
			return "", fmt.Errorf("no key was given%w", silent{err})
		}
		return string(a.key), nil
	case <-pressed:
		// The read can't be called off; the process ends now, and must leave the terminal as it was.
		fmt.Fprintln(g.err)
		return "", errors.Join(errInterrupted, term.Restore(fd, before))
	}
}

// readTyped reads a line without its end. It leaves the terminal's settings alone: who has given up waiting for it has put them back, and
// term.ReadPassword would change them again.
func readTyped(in io.Reader) ([]byte, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := in.Read(b)
		switch {
		case n == 1 && b[0] == '\n', errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, err
		case n == 1 && len(line) == maxKeyLine:
			return nil, fmt.Errorf("the line has more than %d bytes", maxKeyLine)
		case n == 1:
			line = append(line, b[0])
		}
	}
}

// maxKeyLine bounds what is typed for a key, in bytes; a terminal's own limit is the same.
const maxKeyLine = 4096

// hush switches a terminal's echo off, and has it give whole lines.
func hush(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Lflag &^= unix.ECHO
	t.Lflag |= unix.ICANON | unix.ISIG
	t.Iflag |= unix.ICRNL
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// terminal is the file behind a stream, when it is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

func isTerminal(stream any) bool {
	_, ok := terminal(stream)
	return ok
}

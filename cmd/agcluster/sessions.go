package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agcluster/agcluster/core/api"
)

const sessionsPath = "/api/agents/sessions"

func sessionPath(id string) string { return sessionsPath + "/" + url.PathEscape(id) }

func interruptPath(id string) string { return sessionPath(id) + "/interrupt" }

func (c *client) sessions(ctx context.Context) (api.SessionList, []byte, error) {
	var list api.SessionList
	raw, err := c.call(ctx, request{method: http.MethodGet, path: sessionsPath}, &list)
	return list, raw, err
}

var wholeID = regexp.MustCompile(`^conv-[0-9a-f]{32}$`)

// session is the id that a person means: a whole one, or the beginning of only one of theirs. It makes sure of the key first.
func (g *globals) session(ctx context.Context, c *client, given string) (string, error) {
	if _, err := c.key(); err != nil {
		return "", err
	}
	if wholeID.MatchString(given) {
		return given, nil
	}
	if given == "" {
		return "", usagef("the session's id is empty")
	}
	list, _, err := c.sessions(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, s := range list.Sessions {
		if s.SessionID == given {
			return given, nil
		}
		if strings.HasPrefix(s.SessionID, given) || strings.HasPrefix(s.SessionID, "conv-"+given) {
			found = append(found, s.SessionID)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("none of your %s begins with %q", plural(int64(len(list.Sessions)), "session"), given)
	default:
		return "", fmt.Errorf("%d sessions begin with %q: %s", len(found), given, strings.Join(found, ", "))
	}
}

// orJSON ends a command: with its error, or with the answer as JSON.
func (g *globals) orJSON(raw []byte, err error) error {
	if err != nil {
		return err
	}
	return g.printJSON(raw)
}

func sessionsCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "sessions [SESSION]", Short: "List your sessions, or show one", Args: cobra.MaximumNArgs(1),
		RunE: g.action(func(ctx context.Context, c *client, args []string) error {
			if len(args) == 0 {
				list, raw, err := c.sessions(ctx)
				if err != nil || g.json {
					return g.orJSON(raw, err)
				}
				return g.listSessions(list.Sessions)
			}
			id, err := g.session(ctx, c, args[0])
			if err != nil {
				return err
			}
			var s api.Session
			raw, err := c.call(ctx, request{method: http.MethodGet, path: sessionPath(id)}, &s)
			if err != nil || g.json {
				return g.orJSON(raw, err)
			}
			return g.showSession(s)
		}),
	}
}

func (g *globals) listSessions(list []api.Session) error {
	if len(list) == 0 {
		g.note("no sessions; launch one with: agcluster launch code-assistant")
		return nil
	}
	st := g.colours(g.out)
	short := func(id string) string { return id }
	if isTerminal(g.out) {
		short = shortener(list)
	}
	rows := [][]string{{"SESSION", "CONFIG", "STATUS", "ACTIVITY", "AGE", "TURNS", "COST"}}
	for _, s := range list {
		rows = append(rows, []string{
			line(short(s.SessionID)), line(s.ConfigID), st.status(s.Status), st.status(s.Activity), ago(g.now(), s.CreatedAt),
			strconv.FormatInt(s.Turn, 10), dollars(s.CostUSD),
		})
	}
	return table(g.out, st, rows)
}

// shortener cuts ids to the length at which they still differ, at least 12 digits: the whole ones don't fit on most terminals.
func shortener(list []api.Session) func(string) string {
	n := len("conv-") + 12
	for seen := map[string]bool{}; n < len("conv-")+32; n++ {
		clear(seen)
		for _, s := range list {
			seen[s.SessionID[:min(n, len(s.SessionID))]] = true
		}
		if len(seen) == len(list) {
			break
		}
	}
	return func(id string) string { return id[:min(n, len(id))] }
}

// status colours a state by what it asks of people.
func (s style) status(state string) string {
	state = line(state)
	switch state {
	case "running":
		return s.green(state)
	case "working":
		return s.cyan(state)
	case "starting", "stopping", "waiting":
		return s.yellow(state)
	case "failed":
		return s.red(state)
	default:
		return s.dim(state)
	}
}

func (g *globals) showSession(s api.Session) error {
	st := g.colours(g.out)
	when := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.UTC().Format("2006-01-02 15:04:05 MST") + " (" + ago(g.now(), t) + " ago)"
	}
	rows := [][2]string{
		{"session", line(s.SessionID)},
		{"agent", line(s.AgentID)},
		{"config", line(s.ConfigID) + note2(s.Name)},
		{"provider", line(s.Provider)},
		{"status", st.status(s.Status) + note(s.Reason)},
		{"activity", st.status(s.Activity)},
		{"created", when(s.CreatedAt)},
		{"last active", when(s.LastActive)},
		{"turns", strconv.FormatInt(s.Turn, 10)},
		{"tokens", fmt.Sprintf("%s in, %s out, %s read from cache, %s written to cache", count(s.Usage.InputTokens),
			count(s.Usage.OutputTokens), count(s.Usage.CacheReadTokens), count(s.Usage.CacheWriteTokens))},
		{"cost", dollars(s.CostUSD)},
	}
	for _, name := range slices.Sorted(maps.Keys(s.Limits)) {
		rows = append(rows, [2]string{"limit " + line(name), line(s.Limits[name])})
	}
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(st.dim(fmt.Sprintf("%-14s", row[0])) + row[1] + "\n")
	}
	_, err := fmt.Fprint(g.out, b.String())
	return err
}

// note2 is a second name in brackets.
func note2(name string) string {
	if name = line(name); name == "" {
		return ""
	}
	return " (" + name + ")"
}

func stopCommand(g *globals) *cobra.Command {
	var all, yes bool
	cmd := &cobra.Command{
		Use: "stop SESSION… | --all", Short: "Stop sessions for good, with their workspaces and history",
		Args: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return errors.New("give sessions, or --all")
			}
			return nil
		},
		RunE: g.action(func(ctx context.Context, c *client, args []string) error {
			var ids []string
			for _, given := range args {
				id, err := g.session(ctx, c, given)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			if all {
				list, _, err := c.sessions(ctx)
				if err != nil {
					return err
				}
				for _, s := range list.Sessions {
					ids = append(ids, s.SessionID)
				}
				if len(ids) > 0 && !yes {
					if err := g.confirm(ctx, "stop "+plural(int64(len(ids)), "session")+" and remove workspaces and history?"); err != nil {
						return err
					}
				}
			}
			return g.stop(ctx, c, ids)
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "all sessions of your key")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask, on a terminal, whether --all is meant")
	return cmd
}

// confirm asks a person, if one is there, whether something is meant.
func (g *globals) confirm(ctx context.Context, question string) error {
	if !isTerminal(g.in) || !isTerminal(g.err) {
		return nil
	}
	fmt.Fprint(g.err, question+" [y/N] ")
	select {
	case l := <-g.typedLines().c:
		if word := strings.ToLower(strings.TrimSpace(l.text)); word == "y" || word == "yes" {
			return nil
		}
		return errors.New("nothing was done")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stop stops what it can, and fails for what it can't.
func (g *globals) stop(ctx context.Context, c *client, ids []string) error {
	var errs []error
	for _, id := range ids {
		raw, err := c.call(ctx, request{method: http.MethodDelete, path: sessionPath(id)}, nil)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", id, err))
		case g.json:
			errs = append(errs, g.printJSON(raw))
		default:
			fmt.Fprintln(g.out, "stopped "+line(id))
		}
	}
	return errors.Join(errs...)
}

func interruptCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "interrupt SESSION", Short: "Interrupt the turn that runs", Args: cobra.ExactArgs(1),
		RunE: g.action(func(ctx context.Context, c *client, args []string) error {
			id, err := g.session(ctx, c, args[0])
			if err != nil {
				return err
			}
			raw, err := c.call(ctx, request{method: http.MethodPost, path: interruptPath(id)}, nil)
			if err != nil || g.json {
				return g.orJSON(raw, err)
			}
			_, err = fmt.Fprintln(g.out, "interrupting "+line(id))
			return err
		}),
	}
}

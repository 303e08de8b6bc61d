package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/agcluster/agcluster/core/event"
)

// pageLimit is how many events are asked for at once.
const pageLimit = 500

func eventsCommand(g *globals) *cobra.Command {
	var follow, deltas bool
	var after, turn int64
	var lines int
	cmd := &cobra.Command{
		Use: "events SESSION", Aliases: []string{"history"}, Short: "Show what happened in a session", Args: cobra.ExactArgs(1),
		Long: `Show the events of a session, from its first message on. With --follow go on with those to come, until the session is
stopped (or, with --turn, the turn ends) or you press Ctrl-C; a lost connection is taken up again where it was.`,
		RunE: g.action(func(ctx context.Context, c *client, args []string) error {
			if after < 0 || turn < 0 {
				return usagef("--after and --turn must not be negative")
			}
			if deltas && !follow {
				return usagef("--deltas goes with --follow only: previews are not kept")
			}
			id, err := g.session(ctx, c, args[0])
			if err != nil {
				return err
			}
			out := g.eventSink(id, lines)
			if !follow {
				return c.history(ctx, id, after, turn, out.show)
			}
			s := &stream{c: c, timing: g.timing, session: id, turn: turn, last: after, deltas: deltas || !g.json && isTerminal(g.out)}
			return s.follow(ctx, nil, func(f frame) error {
				if f.lost == nil {
					return out.show(f)
				}
				g.note(lostNote)
				return nil
			})
		}),
	}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "go on with the events to come")
	flags.Int64Var(&after, "after", 0, "begin after the event with this number")
	flags.Int64Var(&turn, "turn", 0, "only this turn")
	flags.IntVar(&lines, "lines", defaultLines, "lines of a tool's result to show; 0 is all")
	flags.BoolVar(&deltas, "deltas", false, "with --follow: also previews (text_delta) of text that is still being written")
	return cmd
}

func (g *globals) eventSink(id string, lines int) sink {
	if g.json {
		return jsonSink{g}
	}
	v := g.newView(lines)
	v.users, v.approve = true, "agcluster approve "+id
	return v
}

// history passes on the events that are kept, page by page; those of one turn if turn is not 0.
func (c *client) history(ctx context.Context, id string, after, turn int64, fn func(frame) error) error {
	for {
		var page struct {
			Messages []json.RawMessage `json:"messages"`
			HasMore  bool              `json:"has_more"`
		}
		q := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(pageLimit)}}
		if _, err := c.call(ctx, request{
			method: http.MethodGet, path: "/api/agents/" + url.PathEscape(id) + "/messages", query: q,
		}, &page); err != nil {
			return err
		}
		for _, raw := range page.Messages {
			f, err := parseFrame(raw)
			if err != nil {
				return err
			}
			if f.id <= after {
				return fmt.Errorf("the host sent event %d after event %d", f.id, after)
			}
			after = f.id
			if turn > 0 && f.turn != turn {
				continue
			}
			if err := fn(f); err != nil {
				return err
			}
			if turn > 0 && f.kind == event.TypeComplete {
				return nil
			}
		}
		if !page.HasMore || len(page.Messages) == 0 {
			return nil
		}
	}
}

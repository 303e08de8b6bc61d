package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agcluster/agcluster/core/api"
	"github.com/agcluster/agcluster/core/event"
)

func approveCommand(g *globals) *cobra.Command {
	var answer api.ApprovalAnswer
	var forSession bool
	cmd := &cobra.Command{
		Use: "approve SESSION ASK allow|deny", Short: "Answer an approval", Args: cobra.ExactArgs(3),
		RunE: g.action(func(ctx context.Context, c *client, args []string) error {
			answer.Decision = args[2]
			switch {
			case answer.Decision != "allow" && answer.Decision != "deny":
				return usagef("the answer is allow or deny, not %q", args[2])
			case forSession && answer.Decision == "deny":
				return usagef("--session goes with allow only")
			case forSession:
				answer.Scope = "session"
			}
			id, err := g.session(ctx, c, args[0])
			if err != nil {
				return err
			}
			raw, err := c.approve(ctx, id, args[1], answer)
			if err != nil || g.json {
				return g.orJSON(raw, err)
			}
			_, err = fmt.Fprintln(g.out, map[string]string{"allow": "allowed", "deny": "denied"}[answer.Decision])
			return err
		}),
	}
	cmd.Flags().StringVar(&answer.Reason, "reason", "", "what the agent is told when it is denied")
	cmd.Flags().BoolVar(&forSession, "session", false, "also allow later calls of the tool that are asked for by the same rule, for the same reason")
	return cmd
}

func (c *client) approve(ctx context.Context, id, ask string, answer api.ApprovalAnswer) ([]byte, error) {
	return c.call(ctx, request{
		method: http.MethodPost, path: "/api/agents/" + url.PathEscape(id) + "/approvals/" + url.PathEscape(ask), in: answer,
	}, nil)
}

// approvals are those of a turn that wait for an answer, oldest first.
type approvals struct {
	open []event.ApprovalRequired
	// asked is the one that a question is on the screen for, since when.
	asked string
	since time.Time
}

// note keeps book of approvals that open and end.
func (a *approvals) note(d event.Data) {
	switch d := d.(type) {
	case event.ApprovalRequired:
		a.open = append(a.open, d)
	case event.ApprovalResolved:
		a.remove(d.Ask)
	}
}

func (a *approvals) remove(ask string) {
	a.open = slices.DeleteFunc(a.open, func(r event.ApprovalRequired) bool { return r.Ask == ask })
	if a.asked == ask {
		a.asked = ""
	}
}

// ask puts the question for the oldest approval on the screen, again when something was shown since.
func (cv *conversation) ask(a *approvals) {
	if len(a.open) == 0 || cv.view.prompted && a.asked == a.open[0].Ask {
		return
	}
	first := a.open[0]
	if a.asked != first.Ask {
		// Answers are what is typed from now on: nobody has agreed to what was not on the screen yet.
		a.asked, a.since = first.Ask, time.Now()
	}
	_ = cv.view.write("  " + cv.view.style.bold("allow "+line(first.Tool)+"?") + // the output has gone; the next event will say so
		" yes, no (or: no, because…), always for this session [y/n/a] ")
	cv.view.prompted = true
}

// answer takes a typed line as the answer to the question on the screen.
func (cv *conversation) answer(ctx context.Context, a *approvals, l typedLine) error {
	if l.err != nil {
		// Nobody types any more. What is open can still be answered from elsewhere.
		cv.asks = false
		cv.aside("no answer; until %s: agcluster approve %s %s allow|deny", line(a.open[0].ExpiresAt), cv.session, line(a.open[0].Ask))
		return nil
	}
	cv.view.midline, cv.view.prompted = false, false // the person's Enter has ended the line
	if l.at.Before(a.since) {
		cv.typed = append(cv.typed, l.text)
		cv.ask(a)
		return nil
	}
	answer := api.ApprovalAnswer{Decision: "deny"}
	word, rest, _ := strings.Cut(strings.TrimSpace(l.text), " ")
	switch strings.ToLower(strings.Trim(word, ",.!")) {
	case "y", "yes":
		answer.Decision = "allow"
	case "a", "always":
		answer.Decision, answer.Scope = "allow", "session"
	case "n", "no":
		answer.Reason = strings.TrimSpace(rest)
	default:
		cv.ask(a)
		return nil
	}
	if rest != "" && answer.Decision == "allow" {
		cv.ask(a) // "yes, but…" is no yes
		return nil
	}
	ask := a.open[0].Ask
	a.remove(ask)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err := cv.c.approve(ctx, cv.session, ask, answer); err != nil {
		cv.aside("answering the approval: %s", shownError{err, cv.g.key})
	}
	cv.ask(a)
	return nil
}

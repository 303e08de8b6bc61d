package session

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/agcluster/agcluster/core/agent"
)

// maxResults bounds how many tool results of a session are remembered as judged. Forgetting is safe: they are judged again.
const maxResults = 20_000

// results knows which tool results the model may see as they are. What a hook let through unchanged has passed. All else is judged
// again in the form in which it goes to the model: Claude Code can't replace what a failed call shows, so a rewrite by a hook is
// a wish that only the gateway can make sure of. After a restart of the host nothing has passed, and all is judged once more.
type results struct {
	mu     sync.Mutex
	judged map[string]judged
}

type judged struct {
	passed bool
	// reported says that the verdict is in the log.
	reported bool
	// sum is the content that replacement stands for.
	sum         [sha256.Size]byte
	replacement json.RawMessage
}

func (r *results) put(id string, j judged) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.judged == nil || len(r.judged) >= maxResults {
		r.judged = map[string]judged{}
	}
	r.judged[id] = j
}

func (r *results) get(id string) judged {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.judged[id]
}

// hooked notes what became of a result in its hook.
func (r *results) hooked(id string, passed bool) {
	r.put(id, judged{passed: passed, reported: !passed})
}

// ResultPassed says whether the model may see a tool result as it is.
func (s *Service) ResultPassed(id, toolUseID string) bool {
	s.mu.Lock()
	l := s.sessions[id]
	s.mu.Unlock()
	return l != nil && l.results.get(toolUseID).passed
}

// JudgeResult judges a tool result in the form in which it goes to the model and returns what the model gets instead, nil to leave
// it. It fails when the verdict can't be recorded; the result must not pass then.
func (s *Service) JudgeResult(ctx context.Context, id string, ask agent.Ask) (json.RawMessage, error) {
	l, err := s.live(ctx, id)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(ask.Output)
	known := l.results.get(ask.ToolUseID)
	switch {
	case known.passed:
		return nil, nil
	case known.replacement != nil && known.sum == sum:
		return known.replacement, nil
	}
	ask.Stage = agent.StageResult
	j := s.guard.Result(ctx, l.scope(), ask)
	if ctx.Err() != nil {
		// A caller that went away is no verdict to remember.
		return nil, fmt.Errorf("judging a tool result: %w", ctx.Err())
	}
	if j.Ruling == RulingAllow && len(j.Rewrite) == 0 {
		l.results.put(ask.ToolUseID, judged{passed: true})
		return nil, nil
	}
	for _, v := range j.Verdicts {
		if known.reported {
			break
		}
		v.Tool, v.ToolUseID = ask.Tool, ask.ToolUseID
		if err := s.Record(ctx, id, v); err != nil {
			return nil, fmt.Errorf("recording a verdict: %w", err)
		}
	}
	replacement := json.RawMessage(j.Rewrite)
	if j.Ruling != RulingAllow {
		if replacement, err = json.Marshal(j.Reason); err != nil {
			return nil, fmt.Errorf("withholding a result: %w", err)
		}
	}
	l.results.put(ask.ToolUseID, judged{reported: true, sum: sum, replacement: replacement})
	return replacement, nil
}

package guard

import (
	"encoding/json"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/session"
)

// judging gathers a judgement.
type judging struct {
	gate      string
	denied    bool
	asked     string
	asks      bool
	judgement session.Judgement
}

func (j *judging) record(gate, decision, by, reason string) {
	j.judgement.Verdicts = append(j.judgement.Verdicts, event.Verdict{Gate: gate, Decision: decision, By: by, Reason: reason})
}

func (j *judging) deny(by, reason string) session.Judgement {
	j.denied = true
	j.judgement.Ruling, j.judgement.Reason = session.RulingDeny, reason
	j.record(j.gate, "deny", by, reason)
	return j.judgement
}

func (j *judging) ask(gate, by, reason string) {
	reason = orText(reason, "asked for by "+by)
	if !j.asks {
		j.asks, j.asked = true, reason
	}
	j.record(gate, "ask", by, reason)
}

func (j *judging) rewrote(gate, by, reason string) { j.record(gate, "rewrite", by, reason) }

// take adds a policy's verdict.
func (j *judging) take(gate string, v verdict) {
	switch v.Decision {
	case policy.Allow:
	case policy.Ask:
		j.ask(gate, v.by, v.Reason)
	case policy.Rewrite:
		j.rewrote(gate, v.by, v.Reason)
	default:
		j.gate = gate
		j.deny(v.by, orText(v.Reason, "denied by the policy"))
	}
}

// settle takes what an answer without an ask or a rewrite was: nil allows.
func (j *judging) settle(denied *DeniedError) {
	if denied != nil {
		j.deny(denied.By, denied.Reason)
		return
	}
	j.done(nil, nil)
}

// done is the judgement when nothing denied.
func (j *judging) done(current, original json.RawMessage) session.Judgement {
	j.judgement.Ruling = session.RulingAllow
	if j.asks {
		j.judgement.Ruling, j.judgement.Reason = session.RulingAsk, j.asked
	}
	if string(current) != string(original) {
		j.judgement.Rewrite = current
	}
	return j.judgement
}

package sdk

import (
	"context"
	"encoding/json"
	"fmt"

	pluginv1 "github.com/agcluster/agcluster/plugins/proto/agcluster/plugin/v1"
)

type filterServer struct {
	pluginv1.UnimplementedFilterServiceServer
	impl Filter
}

// FilterCall implements FilterServiceServer.
func (s *filterServer) FilterCall(ctx context.Context, r *pluginv1.FilterCallRequest) (*pluginv1.FilterCallResponse, error) {
	out, err := s.impl.FilterCall(ctx, callFromWire(r.GetCall()))
	if err != nil {
		return nil, toStatus(err)
	}
	return &pluginv1.FilterCallResponse{Outcome: outcomeToWire(out)}, nil
}

// FilterResult implements FilterServiceServer.
func (s *filterServer) FilterResult(ctx context.Context, r *pluginv1.FilterResultRequest) (*pluginv1.FilterResultResponse, error) {
	out, err := s.impl.FilterResult(ctx, Result{Call: callFromWire(r.GetCall()), Output: r.GetOutput(), IsError: r.GetIsError()})
	if err != nil {
		return nil, toStatus(err)
	}
	return &pluginv1.FilterResultResponse{Outcome: outcomeToWire(out)}, nil
}

func callFromWire(c *pluginv1.Call) Call {
	return Call{SessionID: c.GetSessionId(), ToolUseID: c.GetToolUseId(), Tool: c.GetTool(), Parent: c.GetParent(), Input: c.GetInput()}
}

func callToWire(c Call) *pluginv1.Call {
	return &pluginv1.Call{SessionId: c.SessionID, ToolUseId: c.ToolUseID, Tool: c.Tool, Parent: c.Parent, Input: c.Input}
}

func outcomeToWire(o Outcome) *pluginv1.Outcome {
	return &pluginv1.Outcome{Decision: string(o.Decision), Reason: line(o.Reason), Replacement: o.Replacement}
}

// outcomeFromWire checks an answer: what is no valid outcome is an error, and an error is a denial.
func outcomeFromWire(o *pluginv1.Outcome, mayAsk bool) (Outcome, error) {
	out := Outcome{Decision: Decision(o.GetDecision()), Reason: o.GetReason(), Replacement: o.GetReplacement()}
	switch out.Decision {
	case Pass, Deny:
	case Ask:
		if !mayAsk {
			return Outcome{}, fmt.Errorf("a filter can't answer %q for a result", out.Decision)
		}
	case Rewrite:
		if !json.Valid(out.Replacement) {
			return Outcome{}, fmt.Errorf("a filter's replacement is no valid JSON")
		}
	default:
		return Outcome{}, fmt.Errorf("a filter answered %q, which is no decision", out.Decision)
	}
	return out, nil
}

type filterClient struct{ c pluginv1.FilterServiceClient }

var _ Filter = (*filterClient)(nil)

// FilterCall implements Filter.
func (f *filterClient) FilterCall(ctx context.Context, call Call) (Outcome, error) {
	r, err := f.c.FilterCall(ctx, &pluginv1.FilterCallRequest{Call: callToWire(call)})
	if err != nil {
		return Outcome{}, fromStatus(ctx, err)
	}
	return outcomeFromWire(r.GetOutcome(), true)
}

// FilterResult implements Filter.
func (f *filterClient) FilterResult(ctx context.Context, result Result) (Outcome, error) {
	r, err := f.c.FilterResult(ctx, &pluginv1.FilterResultRequest{
		Call: callToWire(result.Call), Output: result.Output, IsError: result.IsError,
	})
	if err != nil {
		return Outcome{}, fromStatus(ctx, err)
	}
	return outcomeFromWire(r.GetOutcome(), false)
}

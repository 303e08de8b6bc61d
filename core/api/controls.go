package api

import (
	"context"
	"errors"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

// SessionChange is the body of PATCH /api/agents/sessions/{session_id}.
type SessionChange struct {
	Model          *string `json:"model,omitempty" maxLength:"200" doc:"sonnet, opus, haiku or a model's full name; empty is Claude Code's default."`
	PermissionMode *string `json:"permission_mode,omitempty" enum:"default,acceptEdits,plan,bypassPermissions"`
}

type settingsInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Body      SessionChange
}

func (a *API) changeSession(ctx context.Context, in *settingsInput) (*sessionOutput, error) {
	if in.Body == (SessionChange{}) {
		return nil, invalid("body", "model or permission_mode is needed")
	}
	if in.Body.Model != nil {
		if why := checkModel(*in.Body.Model); why != "" {
			return nil, invalid("body.model", why)
		}
	}
	rec, err := a.Controls.Change(ctx, in.SessionID, session.Change(in.Body))
	if errors.Is(err, agent.ErrInvalid) {
		return nil, huma.Error422UnprocessableEntity(clip(err.Error()))
	}
	if err != nil {
		return nil, a.problem(err)
	}
	return a.details(rec)
}

// checkModel says what core/preset has against a model.
func checkModel(model string) string {
	found, _ := errors.AsType[preset.Errors](preset.Validate(preset.Config{Model: model}, preset.Known{}))
	for _, e := range found {
		if e.Field == "model" {
			return e.Message
		}
	}
	return ""
}

// Command is a slash command that Claude Code offers.
type Command struct {
	Name         string `json:"name" doc:"Without the slash."`
	Description  string `json:"description"`
	ArgumentHint string `json:"argument_hint" doc:"What may follow the name; empty when nothing does."`
}

// CommandList answers GET /api/agents/{session_id}/commands.
type CommandList struct {
	Commands []Command `json:"commands"`
	Total    int       `json:"total"`
}

type commandsOutput struct{ Body CommandList }

func (a *API) listCommands(ctx context.Context, in *sessionInput) (*commandsOutput, error) {
	list, err := a.Controls.Commands(ctx, in.SessionID)
	if err != nil {
		return nil, a.problem(err)
	}
	out := &commandsOutput{Body: CommandList{Commands: make([]Command, 0, len(list)), Total: len(list)}}
	for _, c := range list {
		out.Body.Commands = append(out.Body.Commands, Command(c))
	}
	return out, nil
}

package api

import (
	"context"

	"github.com/agcluster/agcluster/core/workspace"
)

// Comparer tells what has changed.
type Comparer interface {
	Changes(ctx context.Context, sessionID, since string) (workspace.Changes, error)
	Change(ctx context.Context, sessionID, path, since string) (workspace.FileChange, error)
}

type changesInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Since     string `query:"since" required:"true" pattern:"^(launch|turn|turn:[1-9][0-9]{0,17})$" doc:"launch, turn (when the last turn began) or turn:N."`
}

type changesOutput struct{ Body workspace.Changes }

func (a *API) changes(ctx context.Context, in *changesInput) (*changesOutput, error) {
	list, err := a.Files.Changes(ctx, in.SessionID, in.Since)
	if err != nil {
		return nil, a.problem(err)
	}
	return &changesOutput{Body: list}, nil
}

// changeInput can't embed changesInput: Huma looks into exported fields only.
type changeInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Path      string `path:"path" doc:"Relative to /workspace, percent-encoded."`
	Since     string `query:"since" required:"true" pattern:"^(launch|turn|turn:[1-9][0-9]{0,17})$" doc:"launch, turn (when the last turn began) or turn:N."`
}

type changeOutput struct{ Body workspace.FileChange }

func (a *API) change(ctx context.Context, in *changeInput) (*changeOutput, error) {
	c, err := a.Files.Change(ctx, in.SessionID, in.Path, in.Since)
	if err != nil {
		return nil, a.problem(err)
	}
	return &changeOutput{Body: c}, nil
}

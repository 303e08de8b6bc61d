package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/agcluster/agcluster/core/workspace"
)

// Editor changes files.
type Editor interface {
	Write(ctx context.Context, sessionID, to string, req workspace.WriteRequest, r io.Reader) (workspace.Written, error)
	Delete(ctx context.Context, sessionID, path string, recursive bool) error
	Move(ctx context.Context, sessionID, from, to string, overwrite bool) (string, error)
	MakeFolder(ctx context.Context, sessionID, folder string) (string, error)
}

type writeInput struct {
	SessionID   string `path:"session_id" maxLength:"64"`
	Path        string `path:"path" doc:"Relative to /workspace, percent-encoded."`
	IfMatch     string `header:"If-Match" maxLength:"2000" doc:"ETags, one of which the file must have, or * for any file; else 412."`
	IfNoneMatch string `header:"If-None-Match" maxLength:"1" doc:"*: nothing may be there; else 412."`
}

// request reads the preconditions. A weak tag stays as it is: it is like none that a file has.
func (in *writeInput) request() (workspace.WriteRequest, error) {
	req := workspace.WriteRequest{IfNone: in.IfNoneMatch == "*"}
	switch {
	case in.IfNoneMatch != "" && !req.IfNone:
		return req, invalid("header.If-None-Match", "only * is understood")
	case req.IfNone && in.IfMatch != "":
		return req, invalid("header.If-None-Match", "contradicts If-Match")
	case in.IfMatch == "":
		return req, nil
	}
	for tag := range strings.SplitSeq(in.IfMatch, ",") {
		req.IfMatch = append(req.IfMatch, strings.Trim(strings.TrimSpace(tag), `"`))
	}
	return req, nil
}

// write reads its body as it comes: it may be large and is no JSON.
func (a *API) write(_ context.Context, in *writeInput) (*huma.StreamResponse, error) {
	req, err := in.request()
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, _ := humachi.Unwrap(hc)
		written, err := a.Files.Write(r.Context(), in.SessionID, in.Path, req, r.Body)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = huma.Error400BadRequest("the body ends too early")
		}
		if err != nil {
			p := a.problem(err)
			_ = huma.WriteErr(a.huma, hc, p.GetStatus(), p.Error(), errorsOf(p)...) // the client has gone; there is nobody to tell
			return
		}
		hc.SetHeader("ETag", `"`+written.ETag+`"`)
		writeJSON(hc, written)
	}}, nil
}

func writeAnswers(r huma.Registry, op *huma.Operation) {
	answers(op, "What is there now.", map[string]*huma.MediaType{
		mediaJSON: media(r.Schema(reflect.TypeFor[workspace.Written](), true, "Written")),
	})
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/octet-stream": binary("The file's bytes."),
	}}
}

type deleteInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Path      string `path:"path" doc:"Relative to /workspace, percent-encoded."`
	Recursive bool   `query:"recursive" doc:"Also a folder that is not empty."`
}

func (a *API) deleteFile(ctx context.Context, in *deleteInput) (*struct{}, error) {
	if err := a.Files.Delete(ctx, in.SessionID, in.Path, in.Recursive); err != nil {
		return nil, a.problem(err)
	}
	return &struct{}{}, nil
}

// MoveBody is the body of POST /api/files/{session_id}/move.
type MoveBody struct {
	From string `json:"from,omitempty" maxLength:"4096" doc:"A file, link or folder, relative to /workspace."`
	// A name that is no UTF-8 can't be said in JSON.
	FromBytes []byte `json:"from_bytes,omitempty" maxLength:"6000" doc:"Instead of from: path_bytes of the tree, for a name that is no UTF-8."`
	To        string `json:"to" minLength:"1" maxLength:"4096" doc:"Its new path. Missing folders are made."`
	Overwrite bool   `json:"overwrite,omitempty" doc:"Replace a file or link that is there; a folder never."`
}

type moveInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Body      MoveBody
}

type pathOutput struct {
	Body struct {
		Path string `json:"path" doc:"Relative to /workspace."`
	}
}

func (a *API) move(ctx context.Context, in *moveInput) (*pathOutput, error) {
	from := cmp.Or(in.Body.From, string(in.Body.FromBytes))
	if in.Body.From != "" && len(in.Body.FromBytes) > 0 {
		return nil, invalid("body.from_bytes", "contradicts from")
	}
	if from == "" {
		return nil, invalid("body.from", "is needed")
	}
	out := &pathOutput{}
	var err error
	if out.Body.Path, err = a.Files.Move(ctx, in.SessionID, from, in.Body.To, in.Body.Overwrite); err != nil {
		return nil, a.problem(err)
	}
	return out, nil
}

type folderInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Body      struct {
		Path string `json:"path" minLength:"1" maxLength:"4096" doc:"Relative to /workspace. Missing parents are made."`
	}
}

func (a *API) makeFolder(ctx context.Context, in *folderInput) (*pathOutput, error) {
	out := &pathOutput{}
	var err error
	if out.Body.Path, err = a.Files.MakeFolder(ctx, in.SessionID, in.Body.Path); err != nil {
		return nil, a.problem(err)
	}
	return out, nil
}

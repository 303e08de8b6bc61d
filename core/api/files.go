package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/workspace"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// Files does what people want done with a session's files; *workspace.Service is one.
type Files interface {
	Shelf
	Editor
	Comparer
}

// Shelf shows files, takes them in and lets them out.
type Shelf interface {
	Tree(ctx context.Context, sessionID, path string) (workspace.Tree, error)
	Preview(ctx context.Context, sessionID, path string) (workspace.Preview, error)
	Open(ctx context.Context, sessionID, path string) (*workspace.Content, error)
	Upload(ctx context.Context, sessionID, target string, overwrite bool, next func() (string, io.Reader, error)) (workspace.Uploaded, error)
	Export(ctx context.Context, sessionID string, req workspace.ExportRequest, begin func(sdk.ExportHeader) error, out io.Writer) (workspace.Exported, error)
}

type treeInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Path      string `query:"path" maxLength:"4096" doc:"A folder; the whole workspace without it."`
}

type treeOutput struct{ Body workspace.Tree }

func (a *API) tree(ctx context.Context, in *treeInput) (*treeOutput, error) {
	t, err := a.Files.Tree(ctx, in.SessionID, in.Path)
	if err != nil {
		return nil, a.problem(err)
	}
	return &treeOutput{Body: t}, nil
}

type fileInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Path      string `path:"path" doc:"Relative to /workspace, percent-encoded."`
}

// previewInput can't embed fileInput: Huma looks into exported fields only.
type previewInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Path      string `path:"path" doc:"Relative to /workspace, percent-encoded."`
	Raw       bool   `query:"raw" doc:"The file's bytes, whatever it is."`
}

func (a *API) preview(ctx context.Context, in *previewInput) (*huma.StreamResponse, error) {
	if !in.Raw {
		p, err := a.Files.Preview(ctx, in.SessionID, in.Path)
		if err != nil {
			return nil, a.problem(err)
		}
		if p.Type != workspace.TypeImage {
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				hc.SetHeader("ETag", `"`+p.ETag+`"`)
				writeJSON(hc, p)
			}}, nil
		}
	}
	return a.content(ctx, fileInput{in.SessionID, in.Path}, "inline")
}

func (a *API) download(ctx context.Context, in *fileInput) (*huma.StreamResponse, error) {
	return a.content(ctx, *in, "attachment")
}

// content answers with a file's bytes, or the ranges of it that are asked for.
func (a *API) content(ctx context.Context, in fileInput, disposition string) (*huma.StreamResponse, error) {
	c, err := a.Files.Open(ctx, in.SessionID, in.Path)
	if err != nil {
		return nil, a.problem(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer func() {
			if err := c.Close(); err != nil {
				a.log.Debug("closing a file", zap.Error(err))
			}
		}()
		r, w := humachi.Unwrap(hc)
		h := w.Header()
		h.Set("Content-Type", c.MediaType)
		h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": c.Name}))
		h.Set("ETag", c.ETag)
		// What an agent wrote gets none of this origin's powers.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
		http.ServeContent(patient(w), r, "", c.ModTime, c)
	}}, nil
}

// patientWriter cuts off a client that takes nothing for too long, however much there is to send.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func patient(w http.ResponseWriter) *patientWriter {
	return &patientWriter{w, http.NewResponseController(w)}
}

// Write implements io.Writer.
func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

type uploadInput struct {
	SessionID  string `path:"session_id" maxLength:"64"`
	TargetPath string `query:"target_path" maxLength:"4096" doc:"Folder to put the files in; it is made when it is missing."`
	Overwrite  bool   `query:"overwrite" doc:"Replace files that are there."`
}

// maxUploadBody bounds an upload with its wrapping, in bytes; the limits that people are told are core/workspace's.
const maxUploadBody = 201 << 20

// upload can't have its parts handed in: they are many and large, so they are read as they come.
func (a *API) upload(context.Context, *uploadInput) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: a.receive}, nil
}

func (a *API) receive(hc huma.Context) {
	fail := func(err error) {
		p := a.problem(err)
		_ = huma.WriteErr(a.huma, hc, p.GetStatus(), p.Error(), errorsOf(p)...) // the client has gone; there is nobody to tell
	}
	r, w := humachi.Unwrap(hc)
	r.Body = http.MaxBytesReader(w, r.Body, maxUploadBody)
	parts, err := r.MultipartReader()
	if err != nil {
		fail(huma.Error400BadRequest("multipart/form-data with parts called files is needed"))
		return
	}
	query := r.URL.Query()
	overwrite, err := strconv.ParseBool(query.Get("overwrite"))
	overwrite = overwrite && err == nil
	up, err := a.Files.Upload(r.Context(), hc.Param("session_id"), query.Get("target_path"), overwrite, func() (string, io.Reader, error) {
		part, err := parts.NextPart()
		if err != nil {
			return "", nil, err
		}
		if part.FormName() != "files" {
			return "", nil, invalid("body."+clip(part.FormName()), "unexpected part; the parts are called files")
		}
		return part.FileName(), part, nil
	})
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		fail(huma.NewError(http.StatusRequestEntityTooLarge, "the upload is larger than 200 MiB"))
	case errors.Is(err, io.ErrUnexpectedEOF):
		fail(huma.Error400BadRequest("the body ends too early"))
	case err != nil:
		fail(err)
	default:
		writeJSON(hc, up)
	}
}

// errorsOf are the details of a problem.
func errorsOf(p huma.StatusError) []error {
	m, ok := p.(*huma.ErrorModel)
	if !ok {
		return nil
	}
	all := make([]error, len(m.Errors))
	for i, d := range m.Errors {
		all[i] = d
	}
	return all
}

// ExportBody is the optional body of POST /api/files/{session_id}/download.
type ExportBody struct {
	Paths    []string        `json:"paths,omitempty" maxItems:"1000" doc:"Files and folders; the whole workspace without it."`
	Exporter string          `json:"exporter,omitempty" maxLength:"64" doc:"Name of an exporter plugin; zip without it."`
	Name     string          `json:"name,omitempty" maxLength:"100" pattern:"^[A-Za-z0-9._-]*$" doc:"File name without extension."`
	Options  json.RawMessage `json:"options,omitempty" doc:"The exporter's own options, an object."`
}

type exportInput struct {
	SessionID string      `path:"session_id" maxLength:"64"`
	Body      *ExportBody `required:"false"`
}

func (a *API) export(_ context.Context, in *exportInput) (*huma.StreamResponse, error) {
	req := workspace.ExportRequest{}
	if b := in.Body; b != nil {
		req = workspace.ExportRequest{Exporter: b.Exporter, Paths: b.Paths, Name: b.Name, Options: b.Options}
	}
	if req.Name == "" {
		req.Name = in.SessionID
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humachi.Unwrap(hc)
		begun := false
		_, err := a.Files.Export(r.Context(), in.SessionID, req, func(head sdk.ExportHeader) error {
			begun = true
			h := w.Header()
			h.Set("Content-Type", head.MediaType)
			h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": head.FileName}))
			w.WriteHeader(http.StatusOK)
			return nil
		}, patient(w))
		switch {
		case err == nil:
		case begun:
			// Half an archive must not pass for a whole one: the connection is cut.
			a.log.Warn("an export broke off", zap.String("session", in.SessionID), zap.Error(err))
			panic(http.ErrAbortHandler) //nolint:forbidigo // how net/http is told to
		default:
			p := a.problem(err)
			_ = huma.WriteErr(a.huma, hc, p.GetStatus(), p.Error(), errorsOf(p)...) // the client has gone; there is nobody to tell
		}
	}}, nil
}

// fileProblem maps the errors of core/workspace and of the gates; nil is for all others.
func fileProblem(err error) huma.StatusError {
	var (
		denied interface {
			Denied() (gate, by, reason string)
		}
		tooLarge *workspace.TooLargeError
		path     *workspace.InvalidPathError
		field    *workspace.InvalidError
	)
	switch {
	case errors.As(err, &tooLarge):
		return huma.NewError(http.StatusRequestEntityTooLarge, clip(tooLarge.Error()))
	case errors.As(err, &denied):
		_, by, reason := denied.Denied()
		return huma.Error403Forbidden(clip("denied by " + by + ": " + reason))
	case errors.As(err, &path):
		return huma.Error400BadRequest(clip(path.Error()))
	case errors.As(err, &field):
		return invalid("body."+field.Field, field.Reason)
	}
	for _, k := range []kind{
		{workspace.ErrNotFound, http.StatusNotFound, ""},
		{workspace.ErrIsDirectory, http.StatusBadRequest, ""},
		{workspace.ErrNotDirectory, http.StatusBadRequest, ""},
		{workspace.ErrNotRegular, http.StatusBadRequest, ""},
		{workspace.ErrConflict, http.StatusConflict, ""},
		{workspace.ErrStale, http.StatusPreconditionFailed, ""},
		{workspace.ErrForbidden, http.StatusForbidden, ""},
		{workspace.ErrChanged, http.StatusConflict, ""},
		{workspace.ErrGone, http.StatusServiceUnavailable, ""},
		{workspace.ErrBroken, http.StatusBadGateway, ""},
	} {
		if errors.Is(err, k.is) {
			return huma.NewError(k.status, clip(err.Error()))
		}
	}
	return nil
}

func binary(description string) *huma.MediaType {
	return &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary", Description: description}}
}

func previewAnswers(r huma.Registry, op *huma.Operation) {
	answers(op, "The preview, or the bytes of an image.", map[string]*huma.MediaType{
		mediaJSON:                  media(r.Schema(reflect.TypeFor[workspace.Preview](), true, "Preview")),
		"image/*":                  binary("An image."),
		"application/octet-stream": binary("Bytes, with raw=true."),
	})
}

func bytesAnswers(_ huma.Registry, op *huma.Operation) {
	answers(op, "The file.", map[string]*huma.MediaType{"application/octet-stream": binary("The file's bytes.")})
	op.Responses["206"] = &huma.Response{
		Description: "The ranges that were asked for.",
		Content:     map[string]*huma.MediaType{"application/octet-stream": binary("A part of the file.")},
	}
}

func archiveAnswers(_ huma.Registry, op *huma.Operation) {
	answers(op, "The archive.", map[string]*huma.MediaType{"application/zip": binary("The archive's bytes.")})
}

func uploadAnswers(r huma.Registry, op *huma.Operation) {
	answers(op, "What was uploaded.", map[string]*huma.MediaType{
		mediaJSON: media(r.Schema(reflect.TypeFor[workspace.Uploaded](), true, "Uploaded")),
	})
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"multipart/form-data": {Schema: &huma.Schema{
			Type: huma.TypeObject, Required: []string{"files"},
			Properties: map[string]*huma.Schema{"files": {
				Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString, Format: "binary"},
			}},
		}},
	}}
}

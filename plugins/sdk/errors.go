package sdk

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/agcluster/agcluster/plugins/proto/agcluster/plugin/v1"
)

// ErrNotFound says that there is no such sandbox. It survives gRPC.
var ErrNotFound = errors.New("not found")

// ErrPluginExited says that the plugin's process has died: whatever was asked of it may or may not have happened.
var ErrPluginExited = errors.New("the plugin's process has exited")

// ErrUnimplemented says that the plugin lacks a capability.
var ErrUnimplemented = errors.New("not implemented by this plugin")

type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// Permanent marks an error that no repetition can help. It survives gRPC.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanentError{err}
}

// IsPermanent says whether err was marked by Permanent. What is an ErrPlatformDown never is: the platform may come back.
func IsPermanent(err error) bool {
	var p permanentError
	return errors.As(err, &p) && !errors.Is(err, ErrPlatformDown)
}

// The reasons of an ErrorDetail.
const (
	reasonImageMissing = "image_missing"
	reasonPlatformDown = "platform_down"
)

// reasonOf is what no code of gRPC says of an error.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, ErrPlatformDown):
		return reasonPlatformDown
	case errors.Is(err, ErrImageMissing):
		return reasonImageMissing
	default:
		return ""
	}
}

// toStatus is what a plugin answers instead of err.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	code := codes.Internal
	switch {
	case errors.Is(err, ErrNotFound):
		code = codes.NotFound
	case errors.Is(err, ErrUnimplemented):
		code = codes.Unimplemented
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	st := status.New(code, line(err.Error()))
	if with, detailErr := st.WithDetails(&pluginv1.ErrorDetail{Permanent: IsPermanent(err), Reason: reasonOf(err)}); detailErr == nil {
		st = with
	}
	return st.Err()
}

// maxErrorText bounds an error's text on the wire, in bytes: it travels in an HTTP/2 header, twice.
const maxErrorText = 4 << 10

// line makes a text fit for the wire: bounded, and valid UTF-8, without which gRPC drops a status' details.
func line(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// remoteError keeps a plugin's words and adds what can be tested with errors.Is.
type remoteError struct {
	text string
	is   error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.is }

// fromStatus turns a gRPC error into one that the caller can tell from no plugin in between.
func fromStatus(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	out := &remoteError{text: st.Message()}
	switch st.Code() {
	case codes.NotFound:
		out.is = ErrNotFound
	case codes.Unimplemented:
		out.is = ErrUnimplemented
	case codes.Canceled:
		out.is = context.Canceled
	case codes.DeadlineExceeded:
		out.is = context.DeadlineExceeded
	case codes.Unavailable:
		// gRPC says so for a connection that broke; our plugins never do by themselves.
		out.is = ErrPluginExited
		out.text = ErrPluginExited.Error()
	}
	permanent := false
	for _, d := range st.Details() {
		detail, ok := d.(*pluginv1.ErrorDetail)
		if !ok {
			continue
		}
		permanent = detail.GetPermanent()
		switch detail.GetReason() {
		case reasonImageMissing:
			out.is = ErrImageMissing
		case reasonPlatformDown:
			out.is = ErrPlatformDown
		}
	}
	if ctx.Err() != nil {
		out.is = ctx.Err()
	} else if strings.Contains(st.Message(), "grpc: the client connection is closing") {
		out.is, out.text = ErrPluginExited, ErrPluginExited.Error()
	}
	if permanent {
		return permanentError{out}
	}
	return out
}

package workspace

import (
	"context"
	"errors"
	"fmt"

	"github.com/agcluster/agcluster/core/agent"
)

// The errors that callers tell apart, next to InvalidPathError, InvalidError, TooLargeError and what the gates refuse
// (*guard.DeniedError). Their messages name the path. All others are faults, or come from Sandboxes.Open.
var (
	// ErrNotFound means that there is no such file or folder.
	ErrNotFound = errors.New("not found in the workspace")
	// ErrIsDirectory means that a file is needed and the path is a folder.
	ErrIsDirectory = errors.New("is a folder")
	// ErrNotDirectory means that a folder is needed and the path is something else.
	ErrNotDirectory = errors.New("is no folder")
	// ErrNotRegular means that the path is a socket, a fifo or a device: nothing that has content.
	ErrNotRegular = errors.New("is no regular file")
	// ErrConflict means that something is in the way: a file that must not be overwritten, a folder in the place of a file, a folder
	// that is not empty.
	ErrConflict = errors.New("conflict")
	// ErrStale means that a precondition of a write does not hold: the file is not the one that was seen, or is there already.
	ErrStale = errors.New("the file is not the one that was expected")
	// ErrForbidden means that the path leaves the workspace through a link, or that the sandbox may not touch it.
	ErrForbidden = errors.New("forbidden")
	// ErrChanged means that a file was changed while it was read.
	ErrChanged = errors.New("the file changed while it was read")
	// ErrGone means that the sandbox can't be reached.
	ErrGone = errors.New("the sandbox can't be reached")
	// ErrBroken means that the sandbox sent what it must not: it is broken or hostile.
	ErrBroken = errors.New("the sandbox sent what it must not")
)

// InvalidPathError says why something is no path of a workspace, or no name for a file in it.
type InvalidPathError struct{ Path, Reason string }

// Error implements error.
func (e *InvalidPathError) Error() string {
	return fmt.Sprintf("%q is no path here: it %s", e.Path, e.Reason)
}

// InvalidError says why a field of a request is not as it should be.
type InvalidError struct{ Field, Reason string }

// Error implements error.
func (e *InvalidError) Error() string { return e.Field + " " + e.Reason }

// TooLargeError says which limit a request is over.
type TooLargeError struct {
	// What is over its limit: "file", "upload", "files", "paths", "entries", "tags", "options", "archive", "workspace".
	What string
	// Name is the file that is too large, if it is one.
	Name string
	// Limit and Got are in bytes, or in pieces for files, paths, entries and tags. Got is at least that much when reading ended at the
	// limit. Both are 0 where only Err knows them: for "archive" and "workspace".
	Limit, Got int64
	// Err is the gate's refusal for "archive", the sandbox's for "workspace".
	Err error
}

// Error implements error.
func (e *TooLargeError) Error() string {
	switch {
	case e.Err != nil:
		return e.What + " too large: " + e.Err.Error()
	case e.What == "files" || e.What == "paths" || e.What == "entries" || e.What == "tags":
		return fmt.Sprintf("too many %s: %d, the limit is %d", e.What, e.Got, e.Limit)
	case e.Name != "":
		return fmt.Sprintf("%s %q too large: it has at least %d bytes, the limit is %d", e.What, e.Name, e.Got, e.Limit)
	default:
		return fmt.Sprintf("%s too large: it has at least %d bytes, the limit is %d", e.What, e.Got, e.Limit)
	}
}

// Unwrap returns Err, so that a gate's refusal can still be told.
func (e *TooLargeError) Unwrap() error { return e.Err }

// translate turns an error of the agent client into one of this package; other errors, and none, stay as they are.
func translate(err error) error {
	for _, k := range []struct{ from, to error }{
		{agent.ErrNotFound, ErrNotFound},
		{agent.ErrConflict, ErrConflict},
		{agent.ErrPrecondition, ErrStale},
		{agent.ErrForbidden, ErrForbidden},
		{agent.ErrProtocol, ErrBroken},
		{agent.ErrGone, ErrGone},
	} {
		if errors.Is(err, k.from) {
			return fmt.Errorf("%w: %w", k.to, err)
		}
	}
	if errors.Is(err, agent.ErrTooLarge) {
		return &TooLargeError{What: "workspace", Err: err}
	}
	return err
}

// broken is an ErrBroken.
func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBroken, fmt.Sprintf(format, args...))
}

// cutOff is the error of a stream from the sandbox that ended before it should.
func cutOff(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}

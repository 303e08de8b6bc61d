package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// The errors that callers of a Client tell apart. All others are faults.
var (
	// ErrNotFound means that there is no such file, turn or ask.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that what exists forbids it: a file that must not be overwritten, a folder in the place of a file, an ask
	// that was answered, a sandbox that was configured differently.
	ErrConflict = errors.New("conflict")
	// ErrForbidden means that a path leaves the workspace or may not be touched.
	ErrForbidden = errors.New("forbidden")
	// ErrInvalid means that the agent server refused the request itself, for example a malformed path.
	ErrInvalid = errors.New("invalid")
	// ErrPrecondition means that a file is not what a write was to replace.
	ErrPrecondition = errors.New("precondition failed")
	// ErrTooLarge means that something is over its limit.
	ErrTooLarge = errors.New("too large")
	// ErrTurnRunning means that another turn runs.
	ErrTurnRunning = errors.New("a turn is running")
	// ErrNoTurn means that no turn runs.
	ErrNoTurn = errors.New("no turn is running")
	// ErrUnauthorized means that the agent server does not know the token.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrGone means that the sandbox can't be reached.
	ErrGone = errors.New("sandbox unreachable")
	// ErrProtocol means that the agent server sent what it must not: the sandbox is broken or hostile.
	ErrProtocol = errors.New("the sandbox broke the protocol")
)

// Failure is the body of every answer with a status of 400 or above.
type Failure struct {
	// Code tells apart what shares a status: "turn_running", "no_turn" or empty.
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

// maxFailure bounds the body of an error answer, in bytes.
const maxFailure = 16 << 10

// failure turns an error answer into an error with its sentinel.
func failure(res *http.Response) error {
	var f Failure
	body, err := io.ReadAll(io.LimitReader(res.Body, maxFailure))
	if err != nil || json.Unmarshal(body, &f) != nil || f.Message == "" {
		f = Failure{Message: "status " + http.StatusText(res.StatusCode)}
	}
	message := line(f.Message)
	var kind error
	switch {
	case f.Code == "turn_running":
		kind = ErrTurnRunning
	case f.Code == "no_turn":
		kind = ErrNoTurn
	case res.StatusCode == http.StatusUnauthorized:
		kind = ErrUnauthorized
	case res.StatusCode == http.StatusForbidden:
		kind = ErrForbidden
	case res.StatusCode == http.StatusNotFound:
		kind = ErrNotFound
	case res.StatusCode == http.StatusConflict:
		kind = ErrConflict
	case res.StatusCode == http.StatusPreconditionFailed:
		kind = ErrPrecondition
	case res.StatusCode == http.StatusRequestEntityTooLarge, res.StatusCode == http.StatusInsufficientStorage:
		kind = ErrTooLarge
	case res.StatusCode == http.StatusBadRequest, res.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		kind = ErrInvalid
	default:
		return fmt.Errorf("agent server answered %d: %s", res.StatusCode, message)
	}
	return fmt.Errorf("%w: %s", kind, message)
}

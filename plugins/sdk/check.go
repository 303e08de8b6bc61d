package sdk

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of a request to a Provider, in bytes. They keep a name usable as a folder's, a container's and a label's, and the token within what
// a pipe holds without a reader.
const (
	MaxNameBytes  = 63
	MaxTokenBytes = 4096
	MaxEnvBytes   = 128 << 10
)

// Check says what is wrong with a request, naming the field and the limit, or nil. A Provider calls it before it makes anything: hosts are not
// trusted to send names that are safe to use, and the variables that a provider sets itself must not come from a request.
func (req CreateRequest) Check() error {
	if err := CheckID(req.ID); err != nil {
		return err
	}
	if req.Volume != "" {
		if err := CheckName("volume", req.Volume); err != nil {
			return err
		}
	}
	if len(req.Token) == 0 || len(req.Token) > MaxTokenBytes {
		return fmt.Errorf("token has %d bytes, not 1 to %d", len(req.Token), MaxTokenBytes)
	}
	return checkEnv(req.Env)
}

// Check says what is wrong with a request, naming the field and the limit, or nil.
func (req DestroyRequest) Check() error {
	if req.ID != "" {
		if err := CheckID(req.ID); err != nil {
			return err
		}
	}
	if req.Volume != "" {
		return CheckName("volume", req.Volume)
	}
	return nil
}

// CheckID says what is wrong with a sandbox's id: 1 to MaxNameBytes of a-z, 0-9 and -.
func CheckID(id string) error {
	if id == "" || len(id) > MaxNameBytes {
		return fmt.Errorf("id has %d bytes, not 1 to %d", len(id), MaxNameBytes)
	}
	for _, r := range id {
		if !isLower(r) && r != '-' {
			return fmt.Errorf("id %q has other characters than a-z, 0-9 and -", id)
		}
	}
	return nil
}

// CheckName says what is wrong with a name, which it calls field. It accepts what is safe as one path element everywhere: 1 to MaxNameBytes
// of letters, digits, - and _, with a letter or digit first.
func CheckName(field, name string) error {
	if name == "" || len(name) > MaxNameBytes {
		return fmt.Errorf("%s has %d bytes, not 1 to %d", field, len(name), MaxNameBytes)
	}
	for i, r := range name {
		switch {
		case isLower(r), r >= 'A' && r <= 'Z':
		case i > 0 && (r == '-' || r == '_'):
		default:
			return fmt.Errorf("%s %q has other characters than A-Z, a-z, 0-9, - and _, or does not begin with a letter or digit", field, name)
		}
	}
	return nil
}

func isLower(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' }

// checkEnv never repeats a value: the host promises no credentials in it, but a mistake must not end in a log.
func checkEnv(env map[string]string) error {
	total := 0
	for name, value := range env {
		if err := checkEnvName(name); err != nil {
			return err
		}
		if strings.ContainsRune(value, 0) {
			return fmt.Errorf("env.%s has a zero byte", name)
		}
		total += len(name) + len(value) + 2
	}
	if total > MaxEnvBytes {
		return fmt.Errorf("env has %d bytes, more than %d", total, MaxEnvBytes)
	}
	return nil
}

func checkEnvName(name string) error {
	switch name {
	case "":
		return errors.New("env has an empty name")
	case "AGCLUSTER_LISTEN", "AGCLUSTER_TOKEN_FD", "AGCLUSTER_TOKEN", "AGCLUSTER_DISK_LIMIT":
		return fmt.Errorf("env.%s is set by the provider", name)
	}
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return fmt.Errorf("env has the invalid name %q", name)
		}
	}
	return nil
}

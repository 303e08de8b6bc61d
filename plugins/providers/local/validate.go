package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// Bounds of a request. They keep a name usable as a folder, and the token within what a pipe holds without a reader.
const (
	maxNameBytes  = 63
	maxTokenBytes = 4096
	maxEnvBytes   = 128 << 10
)

func validateCreate(req sdk.CreateRequest) error {
	if err := validateID(req.ID); err != nil {
		return err
	}
	if req.Volume != "" {
		if err := validateName("volume", req.Volume); err != nil {
			return err
		}
	}
	if len(req.Token) == 0 || len(req.Token) > maxTokenBytes {
		return fmt.Errorf("token has %d bytes, not 1 to %d", len(req.Token), maxTokenBytes)
	}
	return validateEnv(req.Env)
}

func validateDestroy(req sdk.DestroyRequest) error {
	if req.ID != "" {
		if err := validateID(req.ID); err != nil {
			return err
		}
	}
	if req.Volume != "" {
		return validateName("volume", req.Volume)
	}
	return nil
}

func validateID(id string) error {
	if id == "" || len(id) > maxNameBytes {
		return fmt.Errorf("id has %d bytes, not 1 to %d", len(id), maxNameBytes)
	}
	for _, r := range id {
		if !isLower(r) && r != '-' {
			return fmt.Errorf("id %q has other characters than a-z, 0-9 and -", id)
		}
	}
	return nil
}

// validateName accepts what is safe as one path element everywhere: no dots, no leading dash.
func validateName(field, name string) error {
	if name == "" || len(name) > maxNameBytes {
		return fmt.Errorf("%s has %d bytes, not 1 to %d", field, len(name), maxNameBytes)
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

// validateEnv never repeats a value: the host promises no credentials in it, but a mistake must not end in a log.
func validateEnv(env map[string]string) error {
	total := 0
	for name, value := range env {
		if err := validateEnvName(name); err != nil {
			return err
		}
		if strings.ContainsRune(value, 0) {
			return fmt.Errorf("env.%s has a zero byte", name)
		}
		total += len(name) + len(value) + 2
	}
	if total > maxEnvBytes {
		return fmt.Errorf("env has %d bytes, more than %d", total, maxEnvBytes)
	}
	return nil
}

func validateEnvName(name string) error {
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

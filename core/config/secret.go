package config

import (
	"fmt"
	"io"
)

const masked = "***"

// Secret holds a credential and prints as ***, with every verb of fmt, in JSON, in YAML and by zap. The zero value is no secret.
//
// The value sits behind a pointer because fmt looks into the unexported fields of a struct without calling its methods: a Secret
// within such a field prints as an address.
type Secret struct{ value *string }

var (
	_ fmt.Formatter  = Secret{}
	_ fmt.Stringer   = Secret{}
	_ fmt.GoStringer = Secret{}
)

// NewSecret returns a Secret; an empty value gives the zero Secret.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{&value}
}

// Reveal returns the value: use it where it is spent and nowhere else.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero says that there is none.
func (s Secret) IsZero() bool { return s.value == nil }

// String implements fmt.Stringer, and with it zap.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}
	return masked
}

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// Format implements fmt.Formatter: %x, %d and the like print *** as well.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements encoding.TextMarshaler, and with it JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

package config

import "github.com/agcluster/agcluster/core/preset"

// Size is a number of bytes, written like 512m or 4g (binary units).
type Size int64

// String writes the size as it is read.
func (s Size) String() string { return preset.FormatSize(int64(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

package config

import (
	"fmt"
	"strings"
)

// Kind says where a value comes from.
type Kind string

// The kinds of sources, the weakest first.
const (
	KindDefault     Kind = "default"
	KindFile        Kind = "file"
	KindEnvironment Kind = "environment"
	KindFlag        Kind = "flag"
)

// Source is where a value comes from: Name is the file's path, the variable or the flag; Line counts from 1 and is only known for files.
type Source struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name,omitempty"`
	Line int    `json:"line,omitempty"`
}

// String is the source for people: default, agcluster.yaml:3, environment API_PORT, flag --api.port.
func (s Source) String() string {
	switch s.Kind {
	case KindFile:
		if s.Line > 0 {
			return fmt.Sprintf("%s:%d", s.Name, s.Line)
		}
		return s.Name
	case KindEnvironment, KindFlag:
		return string(s.Kind) + " " + s.Name
	default:
		return string(s.Kind)
	}
}

// Sources says for every key where its value comes from.
type Sources map[string]Source

// Error is one thing that is wrong: Key is the key or what is wrong within it, such as guard.policies[0].name.
type Error struct {
	Key     string
	Source  Source
	Message string
}

// Error implements error.
func (e Error) Error() string {
	if e.Key == "" {
		return e.Source.String() + ": " + e.Message
	}
	return e.Source.String() + ": " + e.Key + ": " + e.Message
}

// Errors is everything that is wrong, one a line.
type Errors []Error

// Error implements error.
func (e Errors) Error() string {
	list := make([]string, len(e))
	for i, one := range e {
		list[i] = one.Error()
	}
	return strings.Join(list, "\n")
}

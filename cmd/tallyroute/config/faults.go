package config

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with the configuration. It names the place and never
// repeats a value, which may be a secret.
type Fault struct {
	Source  string // the file, or Environment
	Line    int    // 0 if there is none
	Path    string // limits.max_body_bytes, or the name of a variable
	Problem string
}

// Environment is the source of faults in environment variables.
const Environment = "environment"

// String says where it is and what is wrong.
func (f Fault) String() string {
	s := f.Source
	if f.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, f.Line)
	}
	if f.Path != "" {
		s += ": " + f.Path
	}
	return s + ": " + f.Problem
}

// Faults is everything that is wrong with a configuration.
type Faults []Fault

// Error lists the faults, one per line.
func (e Faults) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = "\n  " + f.String()
	}
	noun := "faults"
	if len(e) == 1 {
		noun = "fault"
	}
	return fmt.Sprintf("configuration: %d %s%s", len(e), noun, strings.Join(lines, ""))
}

// Err returns the faults in the order of the file, those of the environment last; nil if
// there are none.
func (e Faults) Err() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b Fault) int {
		switch {
		case a.Source == b.Source:
			return a.Line - b.Line
		case a.Source == Environment:
			return 1
		case b.Source == Environment:
			return -1
		}
		return strings.Compare(a.Source, b.Source)
	})
	return e
}

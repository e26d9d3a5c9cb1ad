package catalogue

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong with a document. It never repeats the value
// of a credential.
type Fault struct {
	File    string
	Line    int    // 0 if there is none
	Path    string // models[2].prices[0].since
	Problem string
}

// String is the fault on one line: file:line: path: problem.
func (f Fault) String() string {
	s := f.File
	if f.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, f.Line)
	}
	for _, part := range []string{f.Path, f.Problem} {
		if s != "" && part != "" {
			s += ": "
		}
		s += part
	}
	return s
}

// Faults is everything that is wrong, in the order in which it was found.
type Faults []Fault

// Error lists every fault on a line of its own.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = "\n  " + f[i].String()
	}
	noun := "faults"
	if len(f) == 1 {
		noun = "fault"
	}
	return fmt.Sprintf("catalogue: %d %s%s", len(f), noun, strings.Join(lines, ""))
}

// err is nil where there is no fault.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

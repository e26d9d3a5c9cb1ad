package manager

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
)

// Use is what a login is used for.
type Use struct {
	Names  []string // of secrets that are read
	Places []string // below which sinks write
}

// Reacher is a manager that can say what its login may do beyond a use, one sentence each. It
// changes nothing: what can only be tried is tried on a secret that does not exist.
type Reacher interface {
	Reach(ctx context.Context, use Use) (wide []string, err error)
}

// Absent returns a name that no secret has.
func Absent() string { return "tallyroute-probe-" + strings.ToLower(rand.Text()) }

// Allowed returns, from the outcome of an attempt on what does not exist, whether the attempt is
// permitted.
func Allowed(err error) (bool, error) {
	switch {
	case err == nil || Is(err, NotFound):
		return true, nil
	case Is(err, Denied):
		return false, nil
	}
	return false, err
}

// mostExamples is how many names a sentence gives.
const mostExamples = 3

// Others returns a sentence on secrets that a login may read and that are not used; "" if there are
// none.
func Others(what string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	text := fmt.Sprintf("the login may read %d %s that nothing here refers to, such as %s", len(names), what,
		strings.Join(names[:min(len(names), mostExamples)], ", "))
	return text
}

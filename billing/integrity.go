package billing

import (
	"context"
	"fmt"
	"time"
)

// IntegrityChecker proves that the ledger adds up.
type IntegrityChecker interface {
	// CheckIntegrity checks every law in one consistent snapshot and changes nothing,
	// but for a note of its result where o.Since is set.
	CheckIntegrity(ctx context.Context, o IntegrityOptions) (IntegrityReport, error)
}

// IntegrityOptions say how an integrity check is done. The zero value checks now.
type IntegrityOptions struct {
	Now time.Time
	// Since is for the job that many processes have: where one of them began an
	// check after it, its result is returned instead; while one is checking,
	// the last result.
	Since time.Time
	// Digests reads every row again, to compare the digests of closed months and the
	// values of breakdowns.
	Digests bool
}

// IntegrityReport is what an integrity check found.
type IntegrityReport struct {
	RanAt time.Time
	Took  time.Duration
	Laws  []Law // empty where another process checked
	// Breaches is how many things break a law; First is one of them, in words.
	Breaches int64
	First    string
}

// Law is one thing that must hold, and whether it did.
type Law struct {
	Name     string // one word
	Says     string // what must hold
	Breaches int64
	First    Breach // the first of them; zero if the law holds
}

// Breach is one place where a law does not hold.
type Breach struct{ Where, Expected, Found string }

// String is the breach in one line.
func (b Breach) String() string {
	return fmt.Sprintf("%s: expected %s, found %s", b.Where, b.Expected, b.Found)
}

// Add counts a breach of the law.
func (l *Law) Add(b Breach) {
	if l.Breaches == 0 {
		l.First = b
	}
	l.Breaches++
}

// Add takes in a law that was checked.
func (r *IntegrityReport) Add(l Law) {
	r.Laws = append(r.Laws, l)
	if r.Breaches == 0 && l.Breaches > 0 {
		r.First = l.Name + ": " + l.First.String()
	}
	r.Breaches += l.Breaches
}

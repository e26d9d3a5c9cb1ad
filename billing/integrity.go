package billing

import (
	"context"
	"fmt"
	"time"
)

// IntegrityChecker proves that the ledger adds up.
type IntegrityChecker interface {
	// CheckIntegrity checks every law in one consistent snapshot and changes nothing,
	// except that it records its result where o.Since is set.
	CheckIntegrity(ctx context.Context, o IntegrityOptions) (IntegrityReport, error)
}

// IntegrityOptions configure an integrity check. The zero value checks at once.
type IntegrityOptions struct {
	Now time.Time
	// Since serves the periodic job that many processes run: if one of them began a
	// check after Since, its result is returned instead; while one is still checking,
	// the last result is returned.
	Since time.Time
	// Digests also re-reads every row, to compare the digests of closed months and the
	// values of breakdowns.
	Digests bool
}

// IntegrityReport is what an integrity check found.
type IntegrityReport struct {
	RanAt time.Time
	Took  time.Duration
	Laws  []Law // empty where another process did the check
	// Breaches is the number of violations of a law; First describes one of them in
	// words.
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

// String returns the breach in one line.
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

// Add adds a checked law to the report.
func (r *IntegrityReport) Add(l Law) {
	r.Laws = append(r.Laws, l)
	if r.Breaches == 0 && l.Breaches > 0 {
		r.First = l.Name + ": " + l.First.String()
	}
	r.Breaches += l.Breaches
}

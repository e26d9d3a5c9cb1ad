package lease

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"tallyroute/billing"
)

// row is a row as it will be stored, so that a replay stores the same: with its
// id, its day, and times that the database can keep.
func (l *Ledger) row(s billing.Spend) (billing.Spend, error) {
	s = s.Tidy()
	s.OccurredAt = s.OccurredAt.UTC().Truncate(time.Microsecond)
	if s.ReportDay == "" {
		s.ReportDay = l.day.of(s.OccurredAt.In(l.o.Zone))
	}
	if s.EventID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return s, fmt.Errorf("billing/lease: %w", err)
		}
		s.EventID = id.String()
	}
	return s, s.Check()
}

// lastDay remembers how a day is written: nearly all rows are of one.
type lastDay struct{ known atomic.Pointer[writtenDay] }

type writtenDay struct {
	year, day int
	text      string
}

func (d *lastDay) of(t time.Time) string {
	known := d.known.Load()
	if known == nil || known.year != t.Year() || known.day != t.YearDay() {
		known = &writtenDay{t.Year(), t.YearDay(), t.Format(time.DateOnly)}
		d.known.Store(known)
	}
	return known.text
}

// rows are the attempts of one request as they will be stored.
func (l *Ledger) rows(attempts []billing.Spend) ([]billing.Spend, error) {
	if len(attempts) == 0 {
		return nil, errors.New("billing/lease: a settlement needs an attempt")
	}
	rows := make([]billing.Spend, len(attempts))
	for i, a := range attempts {
		if a.RequestID != attempts[0].RequestID || !a.OccurredAt.Equal(attempts[0].OccurredAt) || a.Owner != attempts[0].Owner {
			return nil, fmt.Errorf("billing/lease: attempts %d and %d are not of one request", attempts[0].Attempt, a.Attempt)
		}
		if slices.ContainsFunc(attempts[:i], func(b billing.Spend) bool { return b.Attempt == a.Attempt }) {
			return nil, fmt.Errorf("billing/lease: %w: attempt %d of request %s", billing.ErrDuplicate, a.Attempt, a.RequestID)
		}
		row, err := l.row(a)
		if err != nil {
			return nil, err
		}
		rows[i] = row
	}
	return rows, nil
}

// buffers are for encoding records.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// newEpoch names a start of the process.
func newEpoch() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%d-%s", time.Now().Unix(), hex.EncodeToString(b[:]))
}

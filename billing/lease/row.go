package lease

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
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
		s.ReportDay = s.OccurredAt.In(l.o.Zone).Format(time.DateOnly)
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

// buffers are for encoding records.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// newEpoch names a start of the process.
func newEpoch() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%d-%s", time.Now().Unix(), hex.EncodeToString(b[:]))
}

package manage

import (
	"context"
	"errors"
	"time"

	"tallyroute/billing"
)

// Forwarder sends records of the audit log to a destination. If it returns nil, the records
// have arrived; records may be sent twice.
type Forwarder interface {
	Forward(ctx context.Context, records []AuditRecord) error
}

// Forwarding tracks how far this router has sent the audit log to one destination, while it
// is the one that sends.
type Forwarding struct {
	Name, Router string
	To           Forwarder

	seq, failures int64
	till          time.Time // end of the claim; zero if there is none
}

// Limits for forwarding.
const (
	forwardClaim    = 2 * time.Minute // after which another router may take over
	forwardPatience = time.Minute     // so that nobody sends without a valid claim
	forwardedAtOnce = 200
	longestRetry    = 5 * time.Minute
)

// ForwardAudit sends the next records to a destination, unless another router does: in
// order, retrying each until it has arrived. more says that there are more records.
func (a Actions) ForwardAudit(ctx context.Context, f *Forwarding) (more bool, err error) {
	now := a.now()
	if now.Add(forwardPatience).After(f.till) {
		d, claimed, err := a.Store.ClaimDestination(ctx, f.Name, f.Router, now, now.Add(forwardClaim))
		if f.till = (time.Time{}); err != nil || !claimed {
			return false, err
		}
		f.seq, f.failures, f.till = d.Seq, d.Failures, now.Add(forwardClaim)
	}
	records, err := a.Store.AuditAfter(ctx, f.seq, forwardedAtOnce)
	if err != nil || len(records) == 0 {
		return false, err
	}
	f.till = time.Time{} // released together with the outcome
	if err := f.send(ctx, records); err != nil {
		pause := min(time.Second<<min(f.failures, 20), longestRetry)
		return false, errors.Join(err, a.Store.Undelivered(ctx, f.Name, f.Router, cut(err.Error(), 250), a.now().Add(pause)))
	}
	last := records[len(records)-1].Seq
	_, err = a.Store.Delivered(ctx, f.Name, f.Router, last, a.now())
	return len(records) == forwardedAtOnce, err
}

func (f *Forwarding) send(ctx context.Context, records []billing.Change) error {
	ctx, cancel := context.WithTimeout(ctx, forwardPatience)
	defer cancel()
	list := make([]AuditRecord, len(records))
	for i, r := range records {
		list[i] = ViewAuditRecord(r)
	}
	return f.To.Forward(ctx, list)
}

// Destinations returns all destinations that the audit log was ever sent to, and how far
// each has got.
func (a Actions) Destinations(ctx context.Context) ([]billing.Destination, error) {
	return a.Store.ListDestinations(ctx)
}

// DestinationView is a destination in JSON.
type DestinationView struct {
	Name      string  `json:"name"`
	Seq       int64   `json:"seq" doc:"The number of the last record that arrived."`
	SentAt    *string `json:"sent_at"`
	Waiting   int64   `json:"waiting" doc:"Records that have not arrived."`
	OldestAt  *string `json:"oldest_at" doc:"When the first of them was written."`
	Failures  int64   `json:"failures" doc:"The number of failures since it last worked."`
	Failure   *string `json:"failure"`
	NextTryAt *string `json:"next_try_at"`
}

// ViewDestination converts a destination to JSON form.
func ViewDestination(d billing.Destination) DestinationView {
	return DestinationView{
		d.Name, d.Seq, Instant(d.SentAt), d.Waiting, Instant(d.Oldest), d.Failures, TextOrNull(d.Failure), Instant(d.DueAt),
	}
}

package billing

import (
	"cmp"
	"context"
	"time"
)

// Change is a record of the audit log: who did what as an administrator, and why.
// Stores write it in the transaction of what it is about, so that there is no
// change without it, and chain it to the record before it (billing/audit).
type Change struct {
	ID      int64 // filled in by the store, as Seq and Hash are
	At      time.Time
	Actor   string
	Role    string // by which it was allowed; "" where there are none: the static token, or the host itself
	Source  string // the address or host that it came from
	Action  string // as "key.revoke"
	Object  string // the id of what was changed
	Outcome Outcome
	Reason  string
	Detail  map[string]string // what is different now, by the names of the members

	Seq  int64  // the place in the chain; 0 of records from before there was one
	Hash string // in hexadecimal
}

// Outcome is how an act ended.
type Outcome string

// The outcomes.
const (
	OutcomeDone   Outcome = "done"
	OutcomeDenied Outcome = "denied"
	OutcomeFailed Outcome = "failed"
)

// Tidy makes a record fit to be stored.
func (c Change) Tidy() Change {
	c.Actor, c.Object, c.Reason, c.Detail = CleanText(c.Actor), CleanText(c.Object), CleanText(c.Reason), CleanTags(c.Detail)
	c.Role, c.Source, c.Action = CleanText(c.Role), CleanText(c.Source), CleanText(c.Action)
	c.Outcome = cmp.Or(c.Outcome, OutcomeDone)
	c.At = c.At.UTC().Truncate(time.Microsecond) // as databases keep it: the hash covers it
	return c
}

// AuditMark is a record of the audit log by its place and its hash.
type AuditMark struct {
	Seq  int64
	Hash string
}

// AuditEnds are the ends of the audit log's chain.
type AuditEnds struct {
	Before AuditMark // the record before the first that is kept
	Last   AuditMark
}

// Changes is the audit log.
type Changes interface {
	// ListChanges lists records, those that were written last first.
	ListChanges(ctx context.Context, f ChangeFilter) ([]Change, error)
	// Record writes records that go with no change, such as logins.
	Record(ctx context.Context, notes ...*Change) error
	// ReadAudit reads, in one snapshot, first the ends of the log and then every
	// record, the oldest first.
	ReadAudit(ctx context.Context, ends func(AuditEnds), each func(Change) error) error
	// PruneAudit removes the records that were written before an instant, and says how
	// many. The chain begins after them.
	PruneAudit(ctx context.Context, before time.Time, notes ...*Change) (int64, error)
}

// ChangeFilter chooses records. What is empty chooses all.
type ChangeFilter struct {
	Object  string
	Actor   string
	Action  string // "key." is all that begin so
	Outcome Outcome
	Since   time.Time
	Before  int64 // an ID: only those that were written earlier; 0 is all
	Limit   int   // 0 is 100; at most 1000
}

// Most is how many records are chosen at most.
func (f ChangeFilter) Most() int {
	if f.Limit <= 0 {
		return 100
	}
	return min(f.Limit, 1000)
}

package billing

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"
)

// Change is a record of the audit log: which administrator did what, and why. Stores
// write it in the same transaction as the change that it describes, so that no change
// goes unrecorded, and chain it to the record before it (billing/audit).
type Change struct {
	ID      int64 // filled in by the store when it is read, like Hash
	At      time.Time
	Actor   string
	Role    string // the roles that allowed it; "" for the static token and the host itself, which have none
	Source  string // the address or host that it came from
	Action  string // such as "key.revoke"
	Object  string // the id of what was changed
	Outcome Outcome
	Reason  string
	Detail  map[string]string // the new values, by the names of the fields

	Seq  int64  // the place in the chain, filled in by the store; 0 for records that predate the chain
	Hash string // in hexadecimal

	// DryRun makes stores write the whole change, roll it back, and return *Rehearsed.
	DryRun bool
	// Claim belongs to the request that makes the change; nil if it can't be sent again.
	// Stores refuse the change with ErrClaimLost if the claim is lost. It isn't recorded.
	Claim *ChangeClaim
}

// Rehearsed is returned for changes that passed every check and were rolled back.
type Rehearsed struct {
	Changes []Change // as they would have been recorded
}

func (*Rehearsed) Error() string { return "billing: this was a dry run" }

// Rehearse returns *Rehearsed if one of the changes is a dry run, so that the transaction
// that has written them is rolled back.
func Rehearse(changes []*Change) error {
	if !slices.ContainsFunc(changes, func(c *Change) bool { return c.DryRun }) {
		return nil
	}
	r := &Rehearsed{}
	for _, c := range changes {
		r.Changes = append(r.Changes, c.Tidy())
	}
	return r
}

// Tally records in the details of changes how many objects of a kind they affected.
func Tally(changes []*Change, kind string, n int64) {
	for _, c := range changes {
		if c.Detail == nil {
			c.Detail = map[string]string{}
		}
		c.Detail[kind] = strconv.FormatInt(n, 10)
	}
}

// Outcome is how an action ended.
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
	c.At = c.At.UTC().Truncate(time.Microsecond) // the precision that databases keep, since the hash covers it
	return c
}

// AuditMark identifies a record of the audit log by its place and its hash.
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
	// ListChanges lists records, most recently written first.
	ListChanges(ctx context.Context, f ChangeFilter) ([]Change, error)
	// Record writes records that belong to no change, such as logins.
	Record(ctx context.Context, notes ...*Change) error
	// ReadAudit reads, in one snapshot, first the ends of the log and then every record,
	// oldest first.
	ReadAudit(ctx context.Context, ends func(AuditEnds), each func(Change) error) error
	// PruneAudit removes the records written before an instant and returns how many
	// there were. The chain then begins after them.
	PruneAudit(ctx context.Context, before time.Time, notes ...*Change) (int64, error)
}

// ChangeFilter selects records. An empty field matches everything.
type ChangeFilter struct {
	Object  string
	Actor   string
	Action  string // "key." matches every action that begins with it
	Outcome Outcome
	Since   time.Time
	Before  int64 // an ID: only records written earlier; 0 means all
	Limit   int   // 0 is 100; at most 1000
}

// Most returns the maximum number of records to list.
func (f ChangeFilter) Most() int {
	if f.Limit <= 0 {
		return 100
	}
	return min(f.Limit, 1000)
}

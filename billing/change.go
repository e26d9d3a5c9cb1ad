package billing

import (
	"context"
	"time"
)

// Change is who changed what, and why. Stores write it in the transaction of
// what it is about, so that there is no change without it.
type Change struct {
	ID     int64 // filled in by the store
	At     time.Time
	Actor  string
	Action string // as "key.revoke"
	Object string // the id of what was changed
	Reason string
	Detail map[string]string // what is different now, by the names of the members
}

// Tidy makes a change fit to be stored.
func (c Change) Tidy() Change {
	c.Actor, c.Object, c.Reason, c.Detail = CleanText(c.Actor), CleanText(c.Object), CleanText(c.Reason), CleanTags(c.Detail)
	return c
}

// Changes reads what was changed.
type Changes interface {
	// ListChanges lists changes, those that were written last first.
	ListChanges(ctx context.Context, f ChangeFilter) ([]Change, error)
}

// ChangeFilter chooses changes. What is empty chooses all.
type ChangeFilter struct {
	Object string
	Actor  string
	Action string
	Since  time.Time
	Before int64 // an ID: only those that were written earlier; 0 is all
	Limit  int   // 0 is 100; at most 1000
}

// Most is how many changes are chosen at most.
func (f ChangeFilter) Most() int {
	if f.Limit <= 0 {
		return 100
	}
	return min(f.Limit, 1000)
}

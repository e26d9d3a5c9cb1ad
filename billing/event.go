package billing

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// EventKind is what an event is about.
type EventKind string

// The kinds of events.
const (
	EventOverrun  EventKind = "overrun"  // more was used than was held, or a key was stopped because of that
	EventDisputed EventKind = "disputed" // a provider reported usage that cannot be right
	EventRejected EventKind = "rejected" // the ledger refused a row
	EventBreach   EventKind = "breach"   // a law of the ledger does not hold
	EventDenied   EventKind = "denied"   // a budget had too little room
	EventPolicy   EventKind = "policy"   // a policy has refused requests of a key
	// EventThreshold means that usage has reached a threshold of a limit.
	EventThreshold EventKind = "limit_threshold"
	EventModel     EventKind = "model" // another model answered, at a different price or without one
	EventLeak      EventKind = "leak"  // the secret of a key was exposed: found in public, or sent in clear text
	// EventGovernance means that the organisation's rules have changed or are broken, or
	// that an access review has begun or is overdue.
	EventGovernance EventKind = "governance"
	EventSecret     EventKind = "secret"  // a secret manager supplied a version, the version was used, or it could not be obtained
	EventRunaway    EventKind = "runaway" // a session or key ran away and is stopped for a time
	EventAnomaly    EventKind = "anomaly" // the use of a key is unusual
)

// EventKinds returns all kinds.
func EventKinds() []EventKind {
	return []EventKind{
		EventOverrun, EventDisputed, EventRejected, EventBreach, EventDenied, EventPolicy, EventThreshold, EventModel, EventLeak,
		EventSecret, EventGovernance, EventAnomaly, EventRunaway,
	}
}

// Severity says how soon somebody should look at an event.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Event is something that people may want to be notified of. Stores write it in the
// same transaction as its cause, and skip it if its DedupID already exists.
type Event struct {
	Kind     EventKind
	Object   string // the id of what it is about, such as a key or a request
	Severity Severity
	Text     string // in one sentence
	Data     map[string]string
	DedupID  string
	At       time.Time
}

// EventLog reads events.
type EventLog interface {
	// ListEvents lists events, most recently written first.
	ListEvents(ctx context.Context, f EventFilter) ([]Event, error)
	// WriteEvents writes events on their own, without any other change.
	WriteEvents(ctx context.Context, events ...Event) error
	// PruneEvents removes events written before an instant and returns how many it
	// removed. It leaves some for the next call rather than run for long.
	PruneEvents(ctx context.Context, before time.Time) (int, error)
}

// EventFilter selects events. An empty field matches everything.
type EventFilter struct {
	Kind   EventKind
	Object string
	Since  time.Time // by when they happened
	Before string    // a DedupID: only events written earlier; "" means all
	Limit  int       // 0 is 100; at most 1001
}

// Most returns the maximum number of events to list.
func (f EventFilter) Most() int {
	if f.Limit <= 0 {
		return 100
	}
	return min(f.Limit, 1001)
}

// RowEvents returns the events that derive from rows, in the order of the rows.
func RowEvents(rows []Spend) (all []Event) {
	for i := range rows {
		s := &rows[i]
		if s.OverrunTokens > 0 || s.OverrunMoney > 0 {
			all = append(all, s.overrunEvent())
		}
		if s.Disputed {
			all = append(all, s.disputedEvent())
		}
		if s.AnsweredModel != "" {
			all = append(all, s.modelEvent())
		}
	}
	return all
}

// event returns an event about the row.
func (s *Spend) event(kind EventKind, text string) Event {
	return Event{
		Kind: kind, Object: s.RequestID, Severity: Warning, Text: text, At: s.OccurredAt,
		DedupID: string(kind) + ":" + s.RequestID + ":" + strconv.Itoa(s.Attempt),
		Data: map[string]string{
			"key_id": string(s.Owner.KeyID), "attempt": strconv.Itoa(s.Attempt), "provider": s.Provider, "model": s.Model,
			"usage_source": string(s.UsageSource),
		},
	}
}

func (s *Spend) overrunEvent() Event {
	e := s.event(EventOverrun, fmt.Sprintf("The answer of %s/%s took %d tokens and $%s more than was held for it.",
		s.Provider, s.Model, s.OverrunTokens, s.OverrunMoney.Short()))
	e.Data["overrun_tokens"], e.Data["overrun_nano"] = strconv.FormatInt(s.OverrunTokens, 10), strconv.FormatInt(int64(s.OverrunMoney), 10)
	return e
}

func (s *Spend) disputedEvent() Event {
	e := s.event(EventDisputed, fmt.Sprintf("The usage that %s/%s reported cannot be right, or contradicts what is known.",
		s.Provider, s.Model))
	if r := s.Reported; r != nil {
		e.Data["reported_prompt_tokens"] = strconv.FormatInt(SatAdd(SatAdd(r.Input, r.CacheRead), r.CacheWrite), 10)
		e.Data["reported_output_tokens"] = strconv.FormatInt(r.Output, 10)
	}
	e.Data["booked_prompt_tokens"], e.Data["booked_output_tokens"] = strconv.FormatInt(s.Tokens.Prompt(), 10),
		strconv.FormatInt(s.Tokens.Output, 10)
	return e
}

// modelEvent returns the event that another model answered. It is reported once a day
// for each such model.
func (s *Spend) modelEvent() Event {
	e := s.event(EventModel, fmt.Sprintf("%s answered where %s/%s was asked for. It has another price, or none that is known: "+
		"what is booked is the dearer of those that are.", s.AnsweredModel, s.Provider, s.Model))
	e.DedupID = strings.Join([]string{
		string(EventModel), s.Provider, s.Model, s.AnsweredModel,
		s.OccurredAt.UTC().Format(time.DateOnly),
	}, ":")
	e.Data["answered_model"], e.Data["price_id"] = s.AnsweredModel, s.Price.ID
	return e
}

// Event returns the event that a row was refused.
func (r Reject) Event() Event {
	e := r.Row.event(EventRejected, "The ledger refused a row, which counts against the budgets but is in no report.")
	e.Severity, e.Data["reason"] = Critical, r.Reason
	return e
}

// BreachEvent returns the event that an integrity check found a breach. The same breach
// is reported once a day.
func (r IntegrityReport) BreachEvent() Event {
	return Event{
		Kind: EventBreach, Object: "ledger", Severity: Critical, At: r.RanAt,
		Text:    "The integrity check of the ledger found a breach: " + r.First,
		Data:    map[string]string{"breaches": strconv.FormatInt(r.Breaches, 10)},
		DedupID: "breach:" + r.RanAt.UTC().Format(time.DateOnly) + ":" + r.First,
	}
}

// Tidy makes an event fit to be stored.
func (e Event) Tidy() Event {
	e.Object, e.Text, e.DedupID, e.Data = CleanText(e.Object), CleanText(e.Text), CleanText(e.DedupID), CleanTags(e.Data)
	return e
}

// mostDenied is how many denials are remembered, so that repeated denials of the same
// kind cost nothing.
const mostDenied = 10_000

// NearlyUsed reports whether at least 95 percent of a limit is used: what a budget
// refuses then is refused because the budget is used up, not because the request is
// large.
func NearlyUsed(used, limit int64) bool { return limit > 0 && limit-used <= limit/20 }

// Denials turns refused holds into events: one for each key, budget and window (an hour, for
// concurrency limits), and another once nearly all of a limit is used.
type Denials struct {
	mu   sync.Mutex
	told map[string]struct{}
}

// Event returns the event that a hold was refused. It reports false for a repeat, and
// where the request will be judged again: for a provisional hold, and for one with
// headroom, which was refused on an upper bound of the prompt.
func (d *Denials) Event(h Hold, refused *QuotaError, at time.Time) (Event, bool) {
	if h.Provisional || h.HeadroomTokens > 0 || h.HeadroomMoney > 0 {
		return Event{}, false
	}
	b := refused.Balance
	unit, used, limit := refused.Lacking()
	start := b.Window.Start.UTC()
	if b.Window.Concurrent() {
		start = at.UTC().Truncate(time.Hour)
	}
	id := "denied:" + string(h.KeyID) + ":" + b.Budget.ID + ":" + start.Format(time.RFC3339)
	if NearlyUsed(used, limit) {
		id += ":" + unit + ":" + strconv.FormatInt(limit, 10)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, told := d.told[id]; told {
		return Event{}, false
	}
	if d.told == nil || len(d.told) >= mostDenied {
		d.told = make(map[string]struct{})
	}
	d.told[id] = struct{}{}
	return Event{
		Kind: EventDenied, Object: string(h.KeyID), Severity: Info, Text: "A budget had no room: " + strings.TrimPrefix(refused.Error(),
			"billing: "), DedupID: id, At: at,
		Data: map[string]string{
			"budget_id": b.Budget.ID, "request_id": h.ID,
			"unit": unit, "used": strconv.FormatInt(used, 10), "limit": strconv.FormatInt(limit, 10),
		},
	}, true
}

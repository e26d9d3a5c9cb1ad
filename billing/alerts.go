package billing

import (
	"context"
	"errors"
	"slices"
	"time"
)

// AlertKind is what an alert is about.
type AlertKind string

// Alert is what somebody is told, once. Its ID is the same in every channel and at
// every try: who gets it twice can tell.
type Alert struct {
	ID string
	// Claim names the condition, the object, the threshold and the period. Of all that
	// fire an alert with the same claim, one does.
	Claim string
	// Rearm has the claim end when nobody has fired it for so long: the next to fire it
	// tells again. 0 is never.
	Rearm    time.Duration
	Kind     AlertKind
	Object   string
	Severity Severity
	Title    string
	Text     string // what happened
	Remedy   string // what to do
	TeamID   string // of the object; "" where it belongs to no team
	Team     string
	Owner    string // the address of who answers for the object
	Data     map[string]string
	At       time.Time
	Personal bool       // for its owner alone; stores do not keep it
	To       []NoticeTo // where it goes; stores do not read it back
}

// NoticeTo is a channel that an alert goes to, and when.
type NoticeTo struct {
	Channel string
	Due     time.Time
}

// Tidy makes an alert fit to be stored.
func (a Alert) Tidy() Alert {
	a.Claim, a.Object, a.Title, a.Text, a.Remedy = CleanText(a.Claim), CleanText(a.Object), CleanText(a.Title), CleanText(a.Text),
		CleanText(a.Remedy)
	a.Team, a.Owner, a.Data = CleanText(a.Team), CleanText(a.Owner), CleanTags(a.Data)
	a.At = a.At.UTC().Truncate(time.Microsecond)
	return a
}

// Notice is an alert on its way to a channel.
type Notice struct {
	Alert
	Channel     string
	DueAt       time.Time
	Tries       int
	Failure     string    // of the last try
	DeliveredAt time.Time // zero: it is not
	DeadAt      time.Time // zero: it was not given up
}

// AlertRecord is an alert and what became of its notices.
type AlertRecord struct {
	Alert
	Ended   bool // its condition is over
	Notices []Notice
}

// AlertFilter chooses alerts. What is empty chooses all.
type AlertFilter struct {
	ID     string
	Kind   AlertKind
	Object string
	Status NoticeStatus
	Since  time.Time
	Limit  int // 0 is 100; at most 1000
}

// Most is how many alerts are chosen at most.
func (f AlertFilter) Most() int { return EventFilter{Limit: f.Limit}.Most() }

// NoticeStatus is what became of a notice.
type NoticeStatus string

// The statuses of notices.
const (
	NoticePending   NoticeStatus = "pending"
	NoticeFailing   NoticeStatus = "failing" // it was tried, and is again
	NoticeDelivered NoticeStatus = "delivered"
	NoticeDead      NoticeStatus = "dead" // it was given up
)

// NoticeStatuses are all statuses.
func NoticeStatuses() []NoticeStatus {
	return []NoticeStatus{NoticePending, NoticeFailing, NoticeDelivered, NoticeDead}
}

// Status is what became of the notice.
func (n Notice) Status() NoticeStatus {
	switch {
	case !n.DeliveredAt.IsZero():
		return NoticeDelivered
	case !n.DeadAt.IsZero():
		return NoticeDead
	case n.Failure != "":
		return NoticeFailing
	}
	return NoticePending
}

// Firing are alerts, and what they were made of: that is looked at no more.
type Firing struct {
	Alerts   []Alert
	Events   []string // by their dedup ids
	AuditSeq int64    // the last record of the audit log; 0 before the first
}

// ErrNobody is that an alert has nobody to go to: no other try would end better.
var ErrNobody = errors.New("billing: it has no owner with an address")

// Alerts keeps alerts and what is sent of them.
type Alerts interface {
	// FireAlerts stores those alerts whose claims are free, with their notices, and returns
	// them. All of it is done or nothing.
	FireAlerts(ctx context.Context, f Firing, now time.Time) ([]Alert, error)
	// ListAlerts lists alerts, the newest first.
	ListAlerts(ctx context.Context, f AlertFilter) ([]AlertRecord, error)
	// ClaimNotice takes a notice that is due, of a channel that is not busy. Until then
	// nobody else does. It reports false when nothing is due.
	ClaimNotice(ctx context.Context, busy []string, now, until time.Time) (n Notice, found bool, err error)
	// EndNotice writes what became of a notice: DeliveredAt, or Failure with DueAt or DeadAt.
	EndNotice(ctx context.Context, n Notice) error
	// ReplayAlert has an alert sent again to a channel, which it may not have gone to
	// before. *NotFoundError for the alert.
	ReplayAlert(ctx context.Context, id string, to []NoticeTo, notes ...*Change) error
	// PruneAlerts removes alerts that nobody has seen since, and says how many. It leaves
	// some for the next time, rather than to take long.
	PruneAlerts(ctx context.Context, before time.Time) (int, error)
}

// AlertSources is what alerts are made of.
type AlertSources interface {
	// UnjudgedEvents are the oldest events of which no alert was made yet.
	UnjudgedEvents(ctx context.Context, most int) ([]Event, error)
	// UnjudgedChanges are records of the audit log after the last that was looked at.
	UnjudgedChanges(ctx context.Context, most int) ([]Change, error)
	// Standings are budgets that have used half of a limit, or will have used all of one by
	// the end of the window at this pace.
	Standings(ctx context.Context, q StandingQuery) ([]BudgetStanding, error)
	// Expiries are the keys and the tokens of administrators that are in force and expire
	// between two instants.
	Expiries(ctx context.Context, from, to time.Time) ([]Expiry, error)
	// UnpricedSince are the models that were used without a price since a day.
	UnpricedSince(ctx context.Context, day string) ([]UnpricedModel, error)
	// FailingDeliveries are the keys whose secrets could not be delivered so often in a row.
	FailingDeliveries(ctx context.Context, failures int) ([]Delivery, error)
}

// StandingQuery chooses budgets in the windows that contain an instant.
type StandingQuery struct {
	At       time.Time
	BudgetID string // "" is all
	Most     int
}

// BudgetStanding is how a budget stands, and whose it is.
type BudgetStanding struct {
	Balance
	Forgiven Amount // by resets
	Name     string // of what the budget is of
	TeamID   string
	Team     string
	Owner    string // the address of who answers for it
}

// Expiry is something that ends.
type Expiry struct {
	What   string // key or token
	ID     string
	Name   string
	TeamID string
	Team   string
	Owner  string
	At     time.Time
}

// UnpricedModel is a model that was used without a price on a day.
type UnpricedModel struct {
	Day, Provider, Model string
	Attempts             int64
}

// Forecast is what is used by the end of the window at the pace so far. It reports false
// where there is no pace: the window does not end, or has just begun.
func (b Balance) Forecast(now time.Time) (used Amount, ok bool) {
	if b.Window.Start.IsZero() || b.Window.End.IsZero() {
		return Amount{}, false
	}
	whole, gone := b.Window.End.Sub(b.Window.Start), now.Sub(b.Window.Start)
	if gone < max(whole/10, time.Minute) || gone > whole {
		return Amount{}, false
	}
	all, past := int64(whole/time.Second), int64(gone/time.Second)
	pace := func(used int64) int64 { return SatAdd(SatMul(used/past, all), used%past*all/past) }
	return Amount{Tokens: pace(b.UsedTokens), Money: Money(pace(int64(b.UsedMoney))), Requests: pace(b.UsedRequests)}, true
}

// InWindow are the standings of the windows that their budgets have at an instant: a
// budget that was of another period has counters of that, too.
func InWindow(list []BudgetStanding, at time.Time) []BudgetStanding {
	return slices.DeleteFunc(list, func(b BudgetStanding) bool {
		w, err := b.Budget.Window(at)
		return err != nil || !w.Start.Equal(b.Window.Start) || !w.End.Equal(b.Window.End)
	})
}

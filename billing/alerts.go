package billing

import (
	"context"
	"errors"
	"slices"
	"time"
)

// AlertKind is what an alert is about.
type AlertKind string

// Alert is a message that is sent once. Its ID is the same in every channel and on
// every retry, so that a recipient can recognise a duplicate.
type Alert struct {
	ID string
	// Claim identifies the condition, the object, the threshold and the period. If
	// several processes fire alerts with the same claim, only one succeeds.
	Claim string
	// Rearm ends the claim once nobody has fired it for this long, so that firing it
	// again sends a new alert. 0 means never.
	Rearm    time.Duration
	Kind     AlertKind
	Object   string
	Severity Severity
	Title    string
	Text     string // what happened
	Remedy   string // what to do
	TeamID   string // of the object; "" where it belongs to no team
	Team     string
	Owner    string // the address of the person responsible for the object
	Data     map[string]string
	At       time.Time
	Personal bool       // for its owner alone; stores do not keep it
	To       []NoticeTo // where it goes; stores do not read it back
}

// NoticeTo is a channel that an alert is sent to, and when.
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
	Failure     string    // of the last attempt
	DeliveredAt time.Time // zero: not delivered
	DeadAt      time.Time // zero: not given up
}

// AlertRecord is an alert and the outcome of its notices.
type AlertRecord struct {
	Alert
	Ended   bool // its condition no longer holds
	Notices []Notice
}

// AlertFilter selects alerts. An empty field matches everything.
type AlertFilter struct {
	ID     string
	Kind   AlertKind
	Object string
	Status NoticeStatus
	Since  time.Time
	Before string // an ID: only alerts recorded earlier; "" means all
	Limit  int    // 0 is 100; at most 1001
}

// Most returns the maximum number of alerts to list.
func (f AlertFilter) Most() int { return EventFilter{Limit: f.Limit}.Most() }

// NoticeStatus is the delivery status of a notice.
type NoticeStatus string

// The statuses of notices.
const (
	NoticePending   NoticeStatus = "pending"
	NoticeFailing   NoticeStatus = "failing" // an attempt failed, and it will be retried
	NoticeDelivered NoticeStatus = "delivered"
	NoticeDead      NoticeStatus = "dead" // given up
)

// NoticeStatuses returns all statuses.
func NoticeStatuses() []NoticeStatus {
	return []NoticeStatus{NoticePending, NoticeFailing, NoticeDelivered, NoticeDead}
}

// Status returns the delivery status of the notice.
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

// Firing is a set of alerts and the sources they were made from, which are not examined
// again.
type Firing struct {
	Alerts   []Alert
	Events   []string // by their dedup ids
	AuditSeq int64    // the last record of the audit log that was examined; 0 before the first
}

// ErrNobody means that an alert has no recipient, so that a retry would not help.
var ErrNobody = errors.New("billing: it has no owner with an address")

// Alerts stores alerts and their notices.
type Alerts interface {
	// FireAlerts stores those alerts whose claims are free, with their notices, and
	// returns them. It is atomic.
	FireAlerts(ctx context.Context, f Firing, now time.Time) ([]Alert, error)
	// ListAlerts lists alerts, newest first.
	ListAlerts(ctx context.Context, f AlertFilter) ([]AlertRecord, error)
	// ClaimNotice claims a due notice of a channel that is not busy. Nobody else can
	// claim it before until. It reports false when nothing is due.
	ClaimNotice(ctx context.Context, busy []string, now, until time.Time) (n Notice, found bool, err error)
	// EndNotice records the outcome of a notice: DeliveredAt, or Failure with DueAt or
	// DeadAt.
	EndNotice(ctx context.Context, n Notice) error
	// ReplayAlert sends an alert again to channels, including ones that it was not sent
	// to before. It returns *NotFoundError if there is no such alert.
	ReplayAlert(ctx context.Context, id string, to []NoticeTo, notes ...*Change) error
	// PruneAlerts removes alerts that nobody has seen since an instant and returns how
	// many it removed. It leaves some for the next call rather than run for long.
	PruneAlerts(ctx context.Context, before time.Time) (int, error)
}

// AlertSources provides what alerts are made from.
type AlertSources interface {
	// UnjudgedEvents returns the oldest events for which no alert has been considered
	// yet.
	UnjudgedEvents(ctx context.Context, most int) ([]Event, error)
	// UnjudgedChanges returns audit log records after the last one that was examined.
	UnjudgedChanges(ctx context.Context, most int) ([]Change, error)
	// Standings returns the budgets that have used half of a limit, or that will have
	// used up a limit by the end of the window at the current pace, in the windows that
	// contain an instant or ended shortly before. The usage of a concurrency limit is the
	// number of requests in flight.
	Standings(ctx context.Context, q StandingQuery) ([]BudgetStanding, error)
	// Expiries returns the keys, admin tokens and provider credentials that are in force
	// and expire between two instants, and the keys for which somebody has to make a new
	// secret by then.
	Expiries(ctx context.Context, from, to time.Time) ([]Expiry, error)
	// UnpricedSince returns the models that have been used without a price since a day.
	UnpricedSince(ctx context.Context, day string) ([]UnpricedModel, error)
	// FailingDeliveries returns the keys whose secrets have failed to be delivered this
	// many times in a row.
	FailingDeliveries(ctx context.Context, failures int) ([]Delivery, error)
}

// StandingQuery selects budgets in the windows that contain an instant or ended shortly
// before it.
type StandingQuery struct {
	At       time.Time
	BudgetID string // "" means all budgets that are near a limit
	Most     int
}

// LateStanding is how long after its end a window is still checked: a threshold may be
// reached at the last moment, and the router may post late.
const LateStanding = 15 * time.Minute

// BudgetStanding is how much of a budget is used, and who owns it.
type BudgetStanding struct {
	Balance
	Forgiven Amount // by resets
	Name     string // the name of whatever the budget applies to
	TeamID   string
	Team     string
	Owner    string // the address of the person responsible for it
}

// Expiry is something that expires.
type Expiry struct {
	What   string // key, token, credential or secret
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

// The ways to forecast what a budget will have used when it resets, in the words of
// finance.budget_status.
const (
	ForecastLinear   = "linear: what is used so far, at the same pace until it resets"
	ForecastEndless  = "none: it never resets"
	ForecastTooEarly = "none: it has just begun"
)

// Forecast returns what will be used by the end of the window at the pace so far, as soon as
// there is a pace to go by, and the method. If there is no forecast, used is zero.
func (b Balance) Forecast(now time.Time) (used Amount, method string) {
	if b.Window.Concurrent() || b.Window.Start.IsZero() || b.Window.End.IsZero() {
		return Amount{}, ForecastEndless
	}
	whole, gone := b.Window.End.Sub(b.Window.Start), now.Sub(b.Window.Start)
	if gone < max(min(time.Hour, whole/100), time.Second) {
		return Amount{}, ForecastTooEarly
	}
	return b.pace(min(gone, whole)), ForecastLinear
}

// pace returns what will be used by the end of the window at the average pace so far. gone
// must be at least a second.
func (b Balance) pace(gone time.Duration) Amount {
	all, past := int64(b.Window.End.Sub(b.Window.Start)/time.Second), int64(gone/time.Second)
	pace := func(used int64) int64 { return SatAdd(SatMul(used/past, all), used%past*all/past) }
	return Amount{Tokens: pace(b.UsedTokens), Money: Money(pace(int64(b.UsedMoney))), Requests: pace(b.UsedRequests)}
}

// InWindow returns the standings whose window is the budget's current one at an instant, or
// the one that ended shortly before. A budget whose period was changed still has counters
// from the old period.
func InWindow(list []BudgetStanding, at time.Time) []BudgetStanding {
	return slices.DeleteFunc(list, func(b BudgetStanding) bool {
		in := at
		if !b.Window.Start.IsZero() {
			in = b.Window.Start
		}
		w, err := b.Budget.Window(in)
		return err != nil || !w.Start.Equal(b.Window.Start) || !w.End.Equal(b.Window.End)
	})
}

// Over reports whether the window has ended at an instant.
func (w Window) Over(at time.Time) bool { return !w.End.IsZero() && !w.End.After(at) }

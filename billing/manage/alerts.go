package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/alert"
)

// Notifier sends alerts to one channel. An alert may be sent twice.
type Notifier interface {
	Notify(ctx context.Context, n billing.Notice) error
}

// Watch is the input for judging alerts apart from the database.
type Watch struct {
	Channels     []alert.Channel
	Targets      []alert.Target
	Certificates []alert.CertificateFile
	Router       string // the name of this one
	Journal      error  // why it can't be written; nil if it can
	Told         *Told
}

// Told remembers the alerts that this router fired recently, so that the database isn't
// asked about them again and again.
type Told struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// Limits on what is judged at once and remembered.
const (
	judgedAtOnce = 500
	mostTold     = 50_000
	toldFor      = 5 * time.Minute // much shorter than the time after which a claim ends
)

// fresh leaves out the alerts that were fired recently.
func (t *Told) fresh(all []billing.Alert, now time.Time) []billing.Alert {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(all, func(a billing.Alert) bool { return now.Sub(t.last[a.Claim]) < toldFor })
}

func (t *Told) remember(all []billing.Alert, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || len(t.last)+len(all) > mostTold {
		t.last = make(map[string]time.Time)
	}
	for _, a := range all {
		t.last[a.Claim] = now
	}
}

// JudgeAlerts examines everything that can cause an alert, and fires and returns the alerts
// that haven't been fired yet.
func (a Actions) JudgeAlerts(ctx context.Context, w Watch) ([]billing.Alert, error) {
	now := a.now()
	var f billing.Firing
	owners := ownersOf{actions: a, known: make(map[billing.KeyID]alert.Owner)}
	err := errors.Join(a.judgeBudgets(ctx, &owners, now, &f), a.judgeChanges(ctx, &owners, &f), a.judgeSources(ctx, &owners, now, &f))
	for _, t := range w.Targets {
		if one, tell := alert.OfTarget(t, now); tell {
			f.Alerts = append(f.Alerts, one)
		}
	}
	for _, c := range w.Certificates {
		if one, tell := alert.OfCertificate(c, now); tell {
			f.Alerts = append(f.Alerts, one)
		}
	}
	if w.Journal != nil {
		f.Alerts = append(f.Alerts, alert.OfJournal(w.Router, w.Journal.Error(), now))
	}
	fired, failed := a.fire(ctx, w, f, now)
	return fired, errors.Join(err, failed)
}

// fire routes alerts and stores them.
func (a Actions) fire(ctx context.Context, w Watch, f billing.Firing, now time.Time) ([]billing.Alert, error) {
	f.Alerts = w.Told.fresh(f.Alerts, now)
	if len(f.Alerts) == 0 && len(f.Events) == 0 && f.AuditSeq == 0 {
		return nil, nil
	}
	for i := range f.Alerts {
		one := &f.Alerts[i]
		one.ID, one.To = billing.NewID("alert_"), alert.Route(*one, w.Channels, now)
	}
	fired, err := a.Store.FireAlerts(ctx, f, now)
	if err == nil {
		w.Told.remember(f.Alerts, now)
	}
	return fired, err
}

// judgeBudgets judges the state of budgets and then the events, some of which say that one
// of these budgets refused a request.
func (a Actions) judgeBudgets(ctx context.Context, owners *ownersOf, now time.Time, f *billing.Firing) error {
	list, err := a.Store.Standings(ctx, billing.StandingQuery{At: now, Most: mostStandings})
	if err != nil {
		return err
	}
	standings := make(map[string][]billing.BudgetStanding, len(list))
	for _, b := range list {
		standings[b.Budget.ID] = append(standings[b.Budget.ID], b)
		f.Alerts = append(f.Alerts, alert.OfStanding(b, now)...)
	}
	return a.judgeEvents(ctx, owners, f, func(e billing.Event) error {
		id := e.Data["budget_id"]
		if _, there := standings[id]; !there && id != "" {
			of, err := a.Store.Standings(ctx, billing.StandingQuery{At: now, BudgetID: id, Most: mostStandings})
			if err != nil {
				return err
			}
			standings[id] = of
		}
		for _, b := range standings[id] {
			if one, tell := alert.OfDenied(e, b, now); tell {
				f.Alerts = append(f.Alerts, one)
			}
		}
		return nil
	})
}

// mostStandings is the maximum number of budgets near their limits that are examined.
const mostStandings = 10_000

func (a Actions) judgeEvents(ctx context.Context, owners *ownersOf, f *billing.Firing, denied func(billing.Event) error) error {
	list, err := a.Store.UnjudgedEvents(ctx, judgedAtOnce)
	if err != nil {
		return err
	}
	for _, e := range list {
		owner, err := owners.of(ctx, keyOf(e.Object, e.Data["key_id"]))
		if err != nil {
			return err
		}
		if e.Kind == billing.EventDenied {
			if err := denied(e); err != nil {
				return err
			}
		}
		if one, tell := alert.OfEvent(e, owner); tell {
			f.Alerts = append(f.Alerts, one)
		}
		f.Events = append(f.Events, e.DedupID)
	}
	return nil
}

// keyOf returns the first of the ids that belongs to a key.
func keyOf(ids ...string) billing.KeyID {
	for _, id := range ids {
		if strings.HasPrefix(id, "key_") {
			return billing.KeyID(id)
		}
	}
	return ""
}

func (a Actions) judgeChanges(ctx context.Context, owners *ownersOf, f *billing.Firing) error {
	list, err := a.Store.UnjudgedChanges(ctx, judgedAtOnce)
	if err != nil {
		return err
	}
	for _, c := range list {
		owner, err := owners.of(ctx, keyOf(c.Object, c.Detail["key"]))
		if err != nil {
			return err
		}
		if one, tell := alert.OfChange(c, owner); tell {
			f.Alerts = append(f.Alerts, one)
		}
		f.AuditSeq = c.Seq
	}
	return nil
}

// judgeSources judges what ends soon, what has no price and what can't be delivered.
func (a Actions) judgeSources(ctx context.Context, owners *ownersOf, now time.Time, f *billing.Firing) error {
	ending, err := a.Store.Expiries(ctx, now, now.Add(alert.Soon))
	if err != nil {
		return err
	}
	for _, e := range ending {
		if one, tell := alert.OfExpiry(e, now); tell {
			f.Alerts = append(f.Alerts, one)
		}
	}
	unpriced, err := a.Store.UnpricedSince(ctx, now.Add(-24*time.Hour).Format(time.DateOnly))
	if err != nil {
		return err
	}
	for _, u := range unpriced {
		f.Alerts = append(f.Alerts, alert.OfUnpriced(u, now))
	}
	failing, err := a.Store.FailingDeliveries(ctx, alert.FailuresToTell)
	if err != nil {
		return err
	}
	for _, d := range failing {
		owner, err := owners.of(ctx, d.KeyID)
		if err != nil {
			return err
		}
		f.Alerts = append(f.Alerts, alert.OfDelivery(d, owner, now))
	}
	return nil
}

// ownersOf looks up the owners of keys, each key once.
type ownersOf struct {
	actions Actions
	known   map[billing.KeyID]alert.Owner
}

func (o *ownersOf) of(ctx context.Context, id billing.KeyID) (alert.Owner, error) {
	if id == "" {
		return alert.Owner{}, nil
	}
	owner, known := o.known[id]
	if known {
		return owner, nil
	}
	k, err := o.actions.Key(ctx, id)
	switch {
	case err == nil:
		owner = alert.OwnerOf(&k)
	case !errors.As(err, new(*billing.NotFoundError)) && !errors.Is(err, billing.ErrUnknownKey):
		return owner, err
	}
	o.known[id] = owner
	return owner, nil
}

// Limits for notices.
const (
	noticeClaim = time.Minute // after which another router takes over
	mostTries   = 14          // over about four hours
)

// NextNotice claims the next due notice of a channel that isn't busy; found is false if
// none is due. Nobody else sends it while the claim lasts.
func (a Actions) NextNotice(ctx context.Context, busy []string) (n billing.Notice, found bool, err error) {
	now := a.now()
	return a.Store.ClaimNotice(ctx, busy, now, now.Add(noticeClaim))
}

// SendNotice sends a notice. It gives up a notice whose channel no longer exists or that
// has failed too often.
func (a Actions) SendNotice(ctx context.Context, n billing.Notice, to map[string]Notifier) (end billing.Notice, err error) {
	channel, there := to[n.Channel]
	if there {
		err = channel.Notify(ctx, n)
	} else {
		err = fmt.Errorf("the configuration has no channel %q", n.Channel)
	}
	end = n
	end.Failure = ""
	switch {
	case err == nil:
		end.DeliveredAt = a.now()
	case ctx.Err() != nil:
		return n, err // this router is stopping: another one takes over
	default:
		end.Failure = shortened(err.Error())
		end.DueAt = a.now().Add(min(firstAgain<<min(n.Tries-1, 16), lastAgain))
		if !there || n.Tries >= mostTries || errors.Is(err, billing.ErrNobody) {
			end.DeadAt = a.now()
		}
	}
	return end, errors.Join(err, a.Store.EndNotice(context.WithoutCancel(ctx), end))
}

// Alerts lists alerts, newest first.
func (a Actions) Alerts(ctx context.Context, f billing.AlertFilter) ([]billing.AlertRecord, error) {
	if err := noSecret(f.Object); err != nil {
		return nil, err
	}
	return a.Store.ListAlerts(ctx, f)
}

// notifiers returns the channels.
func (a Actions) notifiers(ctx context.Context) (map[string]Notifier, error) {
	if a.Notifiers == nil {
		return nil, nil
	}
	return a.Notifiers(ctx)
}

// channel returns the channel with the given name.
func (a Actions) channel(ctx context.Context, name string) (Notifier, error) {
	all, err := a.notifiers(ctx)
	if err != nil {
		return nil, err
	}
	one, there := all[name]
	if !there {
		names := make([]string, 0, len(all))
		for name := range all {
			names = append(names, name)
		}
		if slices.Sort(names); len(names) == 0 {
			return nil, invalid("channel", "the configuration has no channels: add one to alerts.channels")
		}
		return nil, invalid("channel", "must be one of alerts.channels in the configuration: %s", strings.Join(names, ", "))
	}
	return one, nil
}

// ReplayAlert schedules an alert to be sent again, to one channel or to all that it went
// to.
func (a Actions) ReplayAlert(ctx context.Context, id, channel string, by By) (billing.AlertRecord, error) {
	found, err := a.oneAlert(ctx, id)
	if err := errors.Join(err, by.check()); err != nil {
		return found, err
	}
	now := a.now()
	var to []billing.NoticeTo
	if channel != "" {
		if _, err := a.channel(ctx, channel); err != nil {
			return found, err
		}
		to = append(to, billing.NoticeTo{Channel: channel, Due: now})
	} else {
		for _, n := range found.Notices {
			to = append(to, billing.NoticeTo{Channel: n.Channel, Due: now})
		}
	}
	if len(to) == 0 {
		return found, invalid("channel", "must say where to: the alert went nowhere")
	}
	note := a.note(by, "alert.replay", id)
	note.Detail = map[string]string{"channel": channel}
	if err := a.Store.ReplayAlert(ctx, id, to, note); err != nil {
		return found, err
	}
	return a.oneAlert(ctx, id)
}

func (a Actions) oneAlert(ctx context.Context, id string) (billing.AlertRecord, error) {
	list, err := a.Store.ListAlerts(ctx, billing.AlertFilter{ID: id, Limit: 1})
	if err == nil && (len(list) == 0 || id == "") {
		err = &billing.NotFoundError{What: "alert", ID: id}
	}
	if err != nil {
		return billing.AlertRecord{}, err
	}
	return list[0], nil
}

// TestChannel immediately sends a test alert to a channel.
func (a Actions) TestChannel(ctx context.Context, name string, by By) (billing.Alert, error) {
	to, err := a.channel(ctx, name)
	if err := errors.Join(err, by.check()); err != nil {
		return billing.Alert{}, err
	}
	note := a.note(by, "alert.test", name)
	n := billing.Notice{Alert: alert.OfTest(note.Actor, note.At), Channel: name, Tries: 1}
	if err := a.Store.Record(ctx, note); err != nil {
		return n.Alert, err
	}
	if err := to.Notify(ctx, n); err != nil {
		return n.Alert, &billing.ConflictError{Detail: "channel " + name + ": " + shortened(err.Error())}
	}
	return n.Alert, nil
}

// AlertView is an alert in JSON.
type AlertView struct {
	ID         string            `json:"id" doc:"The same in every channel and for every attempt."`
	Kind       string            `json:"kind"`
	Severity   string            `json:"severity" enum:"info,warning,critical"`
	Object     string            `json:"object"`
	Title      string            `json:"title"`
	Text       string            `json:"text"`
	Remedy     string            `json:"remedy" doc:"What to do."`
	Team       *string           `json:"team"`
	Owner      *string           `json:"owner"`
	Data       map[string]string `json:"data"`
	OccurredAt *string           `json:"occurred_at"`
	Notices    []NoticeView      `json:"notices"`
}

// NoticeView is the outcome of sending an alert to a channel.
type NoticeView struct {
	Channel     string  `json:"channel"`
	Status      string  `json:"status" enum:"pending,failing,delivered,dead"`
	Tries       int     `json:"tries"`
	Failure     *string `json:"failure"` // of the last attempt
	DueAt       *string `json:"due_at"`
	DeliveredAt *string `json:"delivered_at"`
}

// ViewAlert converts an alert to JSON form.
func ViewAlert(r billing.AlertRecord) AlertView {
	v := AlertView{
		ID: r.ID, Kind: string(r.Kind), Severity: string(r.Severity), Object: r.Object, Title: r.Title, Text: r.Text, Remedy: r.Remedy,
		Team: TextOrNull(r.Team), Owner: TextOrNull(r.Owner), Data: r.Data, OccurredAt: Instant(r.At), Notices: []NoticeView{},
	}
	if v.Data == nil {
		v.Data = map[string]string{}
	}
	for _, n := range r.Notices {
		due := n.DueAt
		if n.Status() == billing.NoticeDelivered || n.Status() == billing.NoticeDead {
			due = time.Time{}
		}
		v.Notices = append(v.Notices, NoticeView{
			n.Channel, string(n.Status()), n.Tries, TextOrNull(n.Failure), Instant(due), Instant(n.DeliveredAt),
		})
	}
	return v
}

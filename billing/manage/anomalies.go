package manage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/anomaly"
)

// KeyWatch configures how the use of keys is watched.
type KeyWatch struct {
	Every     time.Duration
	Disable   bool              // disables keys whose use is critical
	Countries anomaly.Countries // nil knows no countries
	Usual     *Usual
}

// Usual caches what is usual for keys in the current hour.
type Usual struct {
	mu   sync.Mutex
	hour time.Time
	keys map[string]anomaly.Key
}

// Parameters of watching.
const (
	watchTurn  = 10 * time.Minute // after which another router takes over from a dead one
	lateBy     = 15 * time.Minute // rows arrive when their request has ended
	learnFrom  = 28 * 24 * time.Hour
	learnStep  = 24 * time.Hour // step size while learning from past use
	keysAtOnce = 500
)

// of returns what is usual for a key in this hour; false if it isn't known yet.
func (u *Usual) of(id string, hour time.Time) (anomaly.Key, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.hour.Equal(hour) {
		u.hour, u.keys = hour, make(map[string]anomaly.Key)
	}
	k, known := u.keys[id]
	return k, known
}

func (u *Usual) remember(k anomaly.Key) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.keys) < mostTold {
		u.keys[k.ID] = k
	}
}

// WatchKeys examines what keys did since the last look, stores it and returns anything
// unusual. If there are several routers, only the one whose turn it is does this. more
// reports that there is more to learn from at once.
func (a Actions) WatchKeys(ctx context.Context, w KeyWatch) (found []anomaly.Finding, more bool, err error) {
	now := a.now().Truncate(time.Microsecond)
	turn := billing.Watched{Turn: now.Add(watchTurn), Forget: now.Add(-anomaly.Kept)}
	watched, mine, err := a.Store.TakeTurn(ctx, now, turn.Turn)
	if err != nil || !mine {
		return nil, false, err
	}
	from := watched.Add(-lateBy)
	if oldest := now.Add(-learnFrom); from.Before(oldest) {
		from = oldest
	}
	from, turn.At, turn.Next = from.Truncate(time.Hour), now, now.Add(w.Every-w.Every/10)
	if more = now.Sub(from) > learnStep; more {
		turn.At, turn.Next = from.Add(learnStep+lateBy), now
	}
	activity, err := a.Store.KeyActivity(ctx, from, turn.At)
	if err != nil {
		return nil, false, err
	}
	turn.Hours = activity.Hours
	keys := byKey(activity)
	for part := range slices.Chunk(slices.Sorted(maps.Keys(keys)), keysAtOnce) {
		one, sights, err := a.judgeKeys(ctx, w, keys, part, watching{at: turn.At, learning: more})
		if err != nil {
			return nil, false, err
		}
		found, turn.Sights = append(found, one...), append(turn.Sights, sights...)
	}
	for _, f := range found {
		event, err := a.answerTo(ctx, w, f)
		if err != nil {
			return nil, false, err
		}
		turn.Events = append(turn.Events, event)
	}
	if err := a.Store.EndTurn(ctx, turn); err != nil {
		return nil, false, err
	}
	return found, more, nil
}

// byKey splits an activity by key.
func byKey(activity anomaly.Activity) map[string]*anomaly.Activity {
	keys := make(map[string]*anomaly.Activity)
	of := func(id string) *anomaly.Activity {
		if keys[id] == nil {
			keys[id] = new(anomaly.Activity)
		}
		return keys[id]
	}
	for _, h := range activity.Hours {
		of(h.KeyID).Hours = append(of(h.KeyID).Hours, h)
	}
	for _, c := range activity.Callers {
		of(c.KeyID).Callers = append(of(c.KeyID).Callers, c)
	}
	for _, u := range activity.Uses {
		of(u.KeyID).Uses = append(of(u.KeyID).Uses, u)
	}
	return keys
}

// watching says which instant is being examined, and whether to judge it or only to learn
// from it.
type watching struct {
	at       time.Time
	learning bool
}

// judgeKeys judges some keys. For keys that do little and nothing new, there is no need
// even to look up what is usual.
func (a Actions) judgeKeys(ctx context.Context, w KeyWatch, keys map[string]*anomaly.Activity, ids []string, p watching) (
	found []anomaly.Finding, sights []anomaly.Sight, err error,
) {
	seen, err := a.Store.KeySights(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	stored, err := a.Store.KeyHours(ctx, ids, p.at.Add(-25*time.Hour))
	if err != nil {
		return nil, nil, err
	}
	ofSights, ofHours := make(map[string][]anomaly.Sight), make(map[string][]anomaly.Hour)
	for _, s := range seen {
		ofSights[s.KeyID] = append(ofSights[s.KeyID], s)
	}
	for _, h := range stored {
		ofHours[h.KeyID] = append(ofHours[h.KeyID], h)
	}
	for _, id := range ids {
		now := present(*keys[id], ofHours[id], p.at)
		key := anomaly.Key{ID: id, Sights: ofSights[id], Requests: math.MaxInt64}
		one, noted := key.Judge(now, w.Countries)
		if !p.learning && (len(one) > 0 || anomaly.Worth(now.Hour, now.Day)) {
			if key, err = a.usual(ctx, w, id, p.at); err != nil {
				return nil, nil, err
			}
			key.Sights = ofSights[id]
			one, noted = key.Judge(now, w.Countries)
		}
		sights = append(sights, noted...)
		if !p.learning {
			found = append(found, one...)
		}
	}
	return found, sights, nil
}

// present returns what a key is doing at an instant. What has just been read replaces what
// was stored for the same hours.
func present(activity anomaly.Activity, stored []anomaly.Hour, at time.Time) anomaly.Present {
	p := anomaly.Present{At: at, Callers: activity.Callers, Uses: activity.Uses}
	h := anomaly.HistoryOf(append(stored, activity.Hours...), at)
	p.Hour, _ = h.Last(at, 1)
	p.Day, _ = h.Last(at, 24)
	return p
}

// usual returns what is usual for a key, based on what is stored about it.
func (a Actions) usual(ctx context.Context, w KeyWatch, id string, at time.Time) (anomaly.Key, error) {
	hour := at.Truncate(time.Hour)
	if k, known := w.Usual.of(id, hour); known {
		return k, nil
	}
	hours, err := a.Store.KeyHours(ctx, []string{id}, at.Add(-anomaly.Kept))
	if err != nil {
		return anomaly.Key{}, err
	}
	k := anomaly.KeyOf(id, anomaly.HistoryOf(hours, at), at)
	w.Usual.remember(k)
	return k, nil
}

// answerTo responds to a finding and makes its event. It is idempotent, because a router
// may take over from one that died halfway.
func (a Actions) answerTo(ctx context.Context, w KeyWatch, f anomaly.Finding) (billing.Event, error) {
	e := FindingEvent(f)
	if !w.Disable || !f.Critical {
		return e, nil
	}
	_, err := a.DisableKey(ctx, billing.KeyID(f.KeyID), Ending{}, By{Actor: "system", Source: "anomalies", Reason: shortened(f.Text)})
	switch {
	case err == nil:
		e.Text += " The key was disabled."
		e.Data["disabled"] = "true"
	case ctx.Err() != nil || errors.Is(err, billing.ErrUnavailable):
		return e, err
	default: // revoked, or no longer there
	}
	return e, nil
}

// FindingEvent returns the event for a finding.
func FindingEvent(f anomaly.Finding) billing.Event {
	e := billing.Event{
		Kind: billing.EventAnomaly, Object: f.KeyID, Severity: billing.Warning, Text: f.Text, At: f.At,
		DedupID: strings.Join([]string{
			string(billing.EventAnomaly), f.KeyID, f.What(), f.Seen, f.At.UTC().Truncate(time.Hour).Format(time.RFC3339),
		}, ":"),
		Data: map[string]string{"what": f.What(), "since": f.Since.UTC().Format(time.RFC3339)},
	}
	switch {
	case f.Critical:
		e.Severity = billing.Critical
	case f.Minor:
		e.Severity = billing.Info
	}
	if f.Figure == "" {
		e.Data["seen"] = f.Seen
		return e
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	e.Data["value"], e.Data["usual"], e.Data["limit"] = number(f.Value), number(f.Baseline.Median), number(f.Baseline.Limit)
	e.Data["span"], e.Data["basis"], e.Data["samples"] = string(f.Baseline.Span), string(f.Baseline.Basis), fmt.Sprint(f.Baseline.Samples)
	return e
}

// KeyUsual is what is usual for a key, and what it has been seen with.
type KeyUsual struct {
	Key       billing.Key
	At        time.Time
	Hour, Day anomaly.Sums
	Baselines []anomaly.Baseline
	Sights    []anomaly.Sight
}

// Usual returns what is usual for a key at this hour and what it has been seen with, as far
// as it has been watched.
func (a Actions) Usual(ctx context.Context, id billing.KeyID) (KeyUsual, error) {
	k, err := a.Key(ctx, id)
	if err != nil {
		return KeyUsual{}, err
	}
	u := KeyUsual{Key: k, At: a.now()}
	hours, err := a.Store.KeyHours(ctx, []string{string(id)}, u.At.Add(-anomaly.Kept))
	if err != nil {
		return u, err
	}
	if u.Sights, err = a.Store.KeySights(ctx, []string{string(id)}); err != nil {
		return u, err
	}
	u.Sights = slices.DeleteFunc(u.Sights, func(s anomaly.Sight) bool { return s.Kind == anomaly.Told })
	h := anomaly.HistoryOf(hours, u.At)
	u.Hour, _ = h.Last(u.At, 1)
	u.Day, _ = h.Last(u.At, 24)
	u.Baselines = h.Baselines(u.At)
	return u, nil
}

// UsualView is what is usual for a key, in JSON.
type UsualView struct {
	KeyID     string         `json:"key_id"`
	At        *string        `json:"at"`
	Baselines []BaselineView `json:"baselines" doc:"A key has none until it has been watched for two days."`
	Seen      []SeenView     `json:"seen"`
}

// BaselineView is the usual range of a figure: spend is in nano-dollars, answers are in
// bytes.
type BaselineView struct {
	Figure  string `json:"figure" enum:"requests,spend,errors,denials,answers"`
	Span    string `json:"span" enum:"hour,day"`
	Now     int64  `json:"now"`
	Usual   int64  `json:"usual" doc:"The median."`
	Limit   int64  `json:"limit" doc:"The value above which it is an anomaly."`
	Samples int    `json:"samples"`
	Basis   string `json:"basis" enum:"hour of the week,hour of the day,all hours"`
}

// SeenView is what a key has been seen with.
type SeenView struct {
	Kind  string  `json:"kind" enum:"network,country,agent,model"`
	Value string  `json:"value"`
	First *string `json:"first_at"`
	Last  *string `json:"last_at"`
}

// ViewUsual converts what is usual for a key to JSON form.
func ViewUsual(u KeyUsual) UsualView {
	v := UsualView{KeyID: string(u.Key.ID), At: Instant(u.At), Baselines: []BaselineView{}, Seen: []SeenView{}}
	for _, b := range u.Baselines {
		now := u.Hour
		if b.Span == anomaly.ByDay {
			now = u.Day
		}
		v.Baselines = append(v.Baselines, BaselineView{
			string(b.Figure), string(b.Span), now.Of(b.Figure), b.Median, b.Limit, b.Samples, string(b.Basis),
		})
	}
	for _, s := range u.Sights {
		v.Seen = append(v.Seen, SeenView{string(s.Kind), s.Value, Instant(s.First), Instant(s.Last)})
	}
	return v
}

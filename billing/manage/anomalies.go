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

// KeyWatch is how the use of keys is watched.
type KeyWatch struct {
	Every     time.Duration
	Disable   bool              // a key whose use is critical
	Countries anomaly.Countries // nil knows none
	Usual     *Usual
}

// Usual remembers what is usual of keys in the present hour.
type Usual struct {
	mu   sync.Mutex
	hour time.Time
	keys map[string]anomaly.Key
}

// Bounds of watching.
const (
	watchTurn  = 10 * time.Minute // after which another router takes over from one that died
	lateBy     = 15 * time.Minute // rows come when a request has ended
	learnFrom  = 28 * 24 * time.Hour
	learnStep  = 24 * time.Hour // at once, while it is learned from what was before
	keysAtOnce = 500
)

// of finds what is usual of a key in this hour; false where it is not known yet.
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

// WatchKeys looks at what keys did since somebody last did, keeps it and returns what is
// unusual. Of several routers one does, whose turn it is. more reports that there is more
// to learn from, at once.
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

// byKey parts an activity by keys.
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

// watching is what is watched at an instant: to judge it, or to learn from it alone.
type watching struct {
	at       time.Time
	learning bool
}

// judgeKeys judges some keys. Of those that do little, and nothing new, not even what is
// usual has to be known.
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

// present is what a key does at an instant. What was just read stands for what was stored
// of the same hours.
func present(activity anomaly.Activity, stored []anomaly.Hour, at time.Time) anomaly.Present {
	p := anomaly.Present{At: at, Callers: activity.Callers, Uses: activity.Uses}
	h := anomaly.HistoryOf(append(stored, activity.Hours...), at)
	p.Hour, _ = h.Last(at, 1)
	p.Day, _ = h.Last(at, 24)
	return p
}

// usual is what is usual of a key, by what is stored of it.
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

// answerTo does what is to be done about a finding, and makes the event of it. Done twice,
// as by a router that takes over from one that died, it is as good as once.
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
	default: // it is revoked, or not there any more
	}
	return e, nil
}

// FindingEvent is the event of a finding.
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

// KeyUsual is what is usual of a key and what it was seen with.
type KeyUsual struct {
	Key       billing.Key
	At        time.Time
	Hour, Day anomaly.Sums
	Baselines []anomaly.Baseline
	Sights    []anomaly.Sight
}

// Usual is what is usual of a key at this hour, and what it was seen with, as far as it
// was watched.
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

// UsualView is what is usual of a key in JSON.
type UsualView struct {
	KeyID     string         `json:"key_id"`
	At        *string        `json:"at"`
	Baselines []BaselineView `json:"baselines" doc:"None of a key that was not watched for two days yet."`
	Seen      []SeenView     `json:"seen"`
}

// BaselineView is what is usual of a figure: spend is in nano-dollars, answers are in bytes.
type BaselineView struct {
	Figure  string `json:"figure" enum:"requests,spend,errors,denials,answers"`
	Span    string `json:"span" enum:"hour,day"`
	Now     int64  `json:"now"`
	Usual   int64  `json:"usual" doc:"The median."`
	Limit   int64  `json:"limit" doc:"More is an anomaly."`
	Samples int    `json:"samples"`
	Basis   string `json:"basis" enum:"hour of the week,hour of the day,all hours"`
}

// SeenView is what a key was seen with.
type SeenView struct {
	Kind  string  `json:"kind" enum:"network,country,agent,model"`
	Value string  `json:"value"`
	First *string `json:"first_at"`
	Last  *string `json:"last_at"`
}

// ViewUsual is what is usual of a key as it is shown.
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

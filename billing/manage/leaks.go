package manage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tallyroute/billing"
)

// LeakAction says what to do about a key whose secret is exposed.
type LeakAction string

// The actions. Each of them writes an event.
const (
	LeakRevoke  LeakAction = "revoke"
	LeakDisable LeakAction = "disable"
	LeakTell    LeakAction = "tell"
)

// LeakActions returns all actions.
func LeakActions() []LeakAction { return []LeakAction{LeakRevoke, LeakDisable, LeakTell} }

// Leak is an exposed secret: it was found in public, or sent in plain text.
type Leak struct {
	Secret string
	URL    string // where it was found
	Found  string // the kind of place: content, commit, pull_request_title …; InClear
}

// InClear is the kind of place for secrets that arrived over plain HTTP from another host.
const InClear = "plain HTTP"

// told describes how the secret was exposed.
func (l Leak) told() string {
	if l.Found == InClear {
		return "came over plain HTTP, where others may have read it"
	}
	return "was found in public"
}

// mostLeakText is how much is stored of where a leak was found, in bytes.
const mostLeakText = 500

// where returns the part that is stored.
func (l Leak) where() string { return billing.CleanText(l.URL[:min(len(l.URL), mostLeakText)]) }

// found returns how the leak was found, as far as events keep it.
func (l Leak) found() string { return billing.CleanText(l.Found[:min(len(l.Found), mostLeakText)]) }

// tellOfToken reports an exposed admin API token or login. It isn't ended, because that
// could lock out the person who has to act. known is false if it has already ended.
func (a Actions) tellOfToken(ctx context.Context, l Leak) (known bool, err error) {
	secret, err := billing.ParseSecret(l.Secret)
	if err != nil || secret.Environment() != billing.EnvironmentAdmin {
		return false, nil
	}
	hash := secret.Hash(a.Pepper)
	p, t, err := a.Store.PrincipalByToken(ctx, hash)
	what, id := "token "+t.ID, t.ID
	if errors.Is(err, billing.ErrUnknownToken) {
		var s billing.Session
		s, p, err = a.Store.SessionByHash(ctx, hash)
		what, id = "login "+s.ID, s.ID
		if err == nil && !s.InForce(a.now(), a.idle()) {
			return false, nil
		}
	} else if err == nil && !t.InForce(a.now()) {
		return false, nil
	}
	if errors.Is(err, billing.ErrUnknownToken) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, a.Store.WriteEvents(ctx, billing.Event{
		Kind: billing.EventLeak, Object: p.ID, Severity: billing.Critical, At: a.now(),
		Text:    fmt.Sprintf("The %s of %s for the admin API %s. It goes on.", what, Actor(p), l.told()),
		Data:    map[string]string{"url": l.where(), "found": l.found(), "token": id},
		DedupID: strings.Join([]string{string(billing.EventLeak), p.ID, id, digestOf(l.URL)[:16]}, ":"),
	})
}

// endLeakedHandover ends a hand-over whose token is exposed: whoever has read it could open
// it.
func (a Actions) endLeakedHandover(ctx context.Context, l Leak, by By) (known bool, err error) {
	by.Reason = strings.TrimSpace("its token " + l.told() + ": " + l.where())
	note := a.note(by, "key.end_hand_over", "")
	id, err := a.Store.EndHandover(ctx, a.tokenHash(l.Secret), note.At, note)
	if errors.Is(err, billing.ErrNoHandover) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, a.Store.WriteEvents(ctx, billing.Event{
		Kind: billing.EventLeak, Object: string(id), Severity: billing.Warning, At: note.At,
		Text:    fmt.Sprintf("The token of a hand-over of the key %s. It is void; make another.", l.told()),
		Data:    map[string]string{"url": l.where(), "found": l.found(), "done": "ended"},
		DedupID: strings.Join([]string{string(billing.EventLeak), string(id), "handover", digestOf(l.Secret)[:16]}, ":"),
	})
}

// TakeLeak responds to a leak. known is false for a secret that is nobody's. A token of the
// admin API is only reported, and a hand-over is ended. An old secret that has already
// ended doesn't affect its key: it is only reported.
func (a Actions) TakeLeak(ctx context.Context, l Leak, do LeakAction, by By) (known bool, err error) {
	if strings.HasPrefix(l.Secret, handoverPrefix) {
		return a.endLeakedHandover(ctx, l, by)
	}
	k, err := a.FindKey(ctx, l.Secret)
	if errors.As(err, new(*billing.NotFoundError)) || errors.As(err, new(*billing.FieldError)) {
		return a.tellOfToken(ctx, l)
	}
	if err != nil {
		return false, err
	}
	where := l.where()
	by.Reason = strings.TrimSpace("its secret " + l.told() + ": " + where)
	done := "It goes on"
	switch ended := k.InForce(a.now()); {
	case ended != nil:
		done = "The secret had ended"
	case do == LeakRevoke:
		_, err = a.RevokeKey(ctx, k.ID, Ending{}, by)
		done = "The key is revoked"
	case do == LeakDisable:
		_, err = a.DisableKey(ctx, k.ID, Ending{}, by)
		done = "The key is disabled"
	}
	if err != nil {
		return true, err
	}
	return true, a.Store.WriteEvents(ctx, billing.Event{
		Kind: billing.EventLeak, Object: string(k.ID), Severity: billing.Critical, At: a.now(),
		Text: fmt.Sprintf("Version %d of the key's secret %s. %s.", k.Secret.Number, l.told(), done),
		Data: map[string]string{
			"url": where, "found": l.found(), "version": fmt.Sprint(k.Secret.Number),
			"done": done,
		},
		DedupID: strings.Join([]string{string(billing.EventLeak), string(k.ID), fmt.Sprint(k.Secret.Number), digestOf(l.URL)[:16]}, ":"),
	})
}

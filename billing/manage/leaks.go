package manage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tallyroute/billing"
)

// LeakAction is what becomes of a key whose secret is exposed.
type LeakAction string

// The actions. All of them write an event.
const (
	LeakRevoke  LeakAction = "revoke"
	LeakDisable LeakAction = "disable"
	LeakTell    LeakAction = "tell"
)

// LeakActions are all actions.
func LeakActions() []LeakAction { return []LeakAction{LeakRevoke, LeakDisable, LeakTell} }

// Leak is a secret that is exposed: it was found in public, or came in clear.
type Leak struct {
	Secret string
	URL    string // where
	Found  string // in what: content, commit, pull_request_title …; InClear
}

// InClear is where secrets are found that came over plain HTTP from another host.
const InClear = "plain HTTP"

// told says in words how the secret is exposed.
func (l Leak) told() string {
	if l.Found == InClear {
		return "came over plain HTTP, where others may have read it"
	}
	return "was found in public"
}

// mostLeakText is what is kept of where a leak was found, in bytes.
const mostLeakText = 500

// TakeLeak does what is to be done about a leak. known is false for what is no key's. A
// secret that has ended takes no key along: it is only told of.
func (a Actions) TakeLeak(ctx context.Context, l Leak, do LeakAction, by By) (known bool, err error) {
	k, err := a.FindKey(ctx, l.Secret)
	if errors.As(err, new(*billing.NotFoundError)) || errors.As(err, new(*billing.FieldError)) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	where := billing.CleanText(l.URL[:min(len(l.URL), mostLeakText)])
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
			"url": where, "found": billing.CleanText(l.Found[:min(len(l.Found), mostLeakText)]), "version": fmt.Sprint(k.Secret.Number),
			"done": done,
		},
		DedupID: strings.Join([]string{string(billing.EventLeak), string(k.ID), fmt.Sprint(k.Secret.Number), digestOf(l.URL)[:16]}, ":"),
	})
}

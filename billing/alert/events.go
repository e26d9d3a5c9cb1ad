package alert

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
)

// rule says how to report events of one kind.
type rule struct {
	kind   billing.AlertKind
	title  string
	remedy string                     // with %s for the object
	object func(billing.Event) string // what is reported once a day; nil is the event's own object
}

func ofKey(e billing.Event) string { return cmp.Or(e.Data["key_id"], e.Object) }

func rules() map[billing.EventKind]rule {
	return map[billing.EventKind]rule{
		billing.EventOverrun: {
			Overrun, "Answers took more than was held for them",
			"Look at them with: tallyroute events list --kind overrun. " +
				"If the key was stopped, enable it once you know why: tallyroute keys enable %s.",
			ofKey,
		},
		billing.EventDisputed: {
			Disputed, "A provider reported usage that cannot be right",
			"Compare the rows with the provider's bill: tallyroute events list --kind disputed.",
			func(e billing.Event) string { return e.Data["provider"] + "/" + e.Data["model"] },
		},
		billing.EventRejected: {
			Rejected, "The ledger refused a row", "Look at why, mend it, and book it: tallyroute spend rejects list.", ofKey,
		},
		billing.EventBreach: {
			Breach, "The ledger breaks one of its laws", "Run tallyroute integrity, and close no month before it is explained.", nil,
		},
		billing.EventSecret: {
			Secret, "A secret cannot be had from its manager", "See whether the manager answers and lets the router read it.", nil,
		},
		billing.EventLeak: {
			Leak, "The secret of a key is exposed",
			"If it is not ended yet: tallyroute keys revoke %s. See who used it: tallyroute access list --key %s.", nil,
		},
		billing.EventRunaway: {
			Runaway, "Requests ran away and are stopped",
			"End the loop that sends them. If they are meant: tallyroute keys enable %s, and raise the limit of its policy or of runaway.",
			nil,
		},
		billing.EventAnomaly: {
			Anomaly, "The use of a key is unusual",
			"Ask its owner. See what is usual with: tallyroute anomalies show %s. See who uses it with: tallyroute access list --key %s. " +
				"If it is in wrong hands: tallyroute incident open --key %s --reason TEXT.", nil,
		},
		billing.EventGovernance: {
			Governance, "The rules for keys changed, or a review of access is open",
			"Read the rules and acknowledge them: tallyroute governance show. Reviews: tallyroute reviews list.",
			func(e billing.Event) string { return strings.TrimSuffix(e.Object+" "+e.Data["owner"], " ") },
		},
		billing.EventModel: {
			Model, "Another model answered than was asked for", "Ask the provider, or give that model a price in the configuration.",
			func(e billing.Event) string { return e.Data["provider"] + "/" + e.Data["model"] },
		},
	}
}

// OfEvent returns the alert for an event, at most once a day for each key, model or law,
// and each severity. It reports false if nobody is alerted.
func OfEvent(e billing.Event, owner Owner) (billing.Alert, bool) {
	r, told := rules()[e.Kind]
	if !told {
		r = rule{kind: billing.AlertKind(e.Kind), title: "Something wants attention", remedy: "See tallyroute events list."}
		untold := []billing.EventKind{billing.EventDenied, billing.EventPolicy, billing.EventThreshold}
		if e.Severity == billing.Info || slices.Contains(untold, e.Kind) {
			return billing.Alert{}, false // the client knows; limits are judged by OfStanding and OfDenied
		}
	}
	if (e.Kind == billing.EventSecret || e.Kind == billing.EventAnomaly) && e.Severity == billing.Info {
		return billing.Alert{}, false // it is only listed among the events
	}
	object := e.Object
	if r.object != nil {
		object = r.object(e)
	}
	a := billing.Alert{
		Kind: r.kind, Object: object, Severity: e.Severity, Title: r.title, Text: e.Text, At: e.At,
		Remedy: strings.ReplaceAll(r.remedy, "%s", object),
		Data:   map[string]string{},
	}
	if token := e.Data["token"]; e.Kind == billing.EventLeak && token != "" {
		a.Title, a.Remedy = "A token of the admin API is exposed", "End it, and make another. See what it did: tallyroute audit list."
	}
	for name, value := range e.Data {
		a.Data[name] = value
	}
	a.Claim = strings.Join([]string{string(r.kind), object, string(e.Severity), e.At.UTC().Format(time.DateOnly)}, ":")
	if to := e.Data["owner"]; e.Kind == billing.EventGovernance && to != "" {
		owner.Address, a.Personal = to, true
	}
	if id := ofKey(e); owner.Name != "" {
		a.Title += ": key " + strconv.Quote(owner.Name)
		a.Text = strings.ReplaceAll(a.Text, id, strconv.Quote(owner.Name)) // people know names, not ids
	}
	return owner.of(a), true
}

// told returns the changes to keys that are reported to their owners.
func told() map[string]struct{ done, remedy string } {
	const unexpected = "If you did not expect this, ask whoever did it; see who with: tallyroute audit list --object %s."
	return map[string]struct{ done, remedy string }{
		"leaver.open": {
			"is of somebody who has left", "Decide what becomes of it, before it is disabled: tallyroute leavers list. " +
				"Who gets it should also rotate it: tallyroute keys rotate %s.",
		},
		"key.rotate":  {"has a new secret", "Programs that still send the old one have to change before it ends. " + unexpected},
		"key.revoke":  {"was revoked for good", "Ask for a new key if you still need one. " + unexpected},
		"key.disable": {"is refused until it is enabled", unexpected},
		"key.enable":  {"can be used again", unexpected},
		"key.archive": {"was revoked, and its secrets destroyed", unexpected},
		"key.change":  {"was changed", unexpected},
		"incident.open": {
			"is in wrong hands and was ended or narrowed", "Take it out of your programs, and ask for a new one. " + unexpected,
		},
		"key.policy": {"has another policy", unexpected},
	}
}

// ofAsk returns the alert for a team's owner when a member requests a raise.
func ofAsk(c billing.Change, owner Owner) billing.Alert {
	a := owner.of(billing.Alert{
		Claim: "raise:" + c.Object, Kind: Raise, Object: c.Object, Severity: billing.Info, At: c.At,
		Title: fmt.Sprintf("A raise is asked for key %q", owner.Name),
		Text: fmt.Sprintf("%s asks for $%s, %s tokens and %s requests more until %s. The reason: %s", cmp.Or(c.Actor, "unknown"),
			c.Detail["usd"], c.Detail["tokens"], c.Detail["requests"], c.Detail["until"], c.Reason),
		Remedy: fmt.Sprintf("Decide: tallyroute raises approve %s, or tallyroute raises decline %s.", c.Object, c.Object),
		Data:   map[string]string{"key_id": c.Detail["key"], "budget_id": c.Detail["budget"], "actor": c.Actor},
	})
	a.Owner = cmp.Or(c.Detail["team_owner"], a.Owner)
	return a
}

// OfChange returns the alert to a key's owner about a record of the audit log. It reports
// false if there is none.
func OfChange(c billing.Change, owner Owner) (billing.Alert, bool) {
	if c.Action == "raise.ask" {
		return ofAsk(c, owner), c.Outcome == "" || c.Outcome == billing.OutcomeDone
	}
	about, ok := told()[c.Action]
	if !ok || (c.Outcome != "" && c.Outcome != billing.OutcomeDone) {
		return billing.Alert{}, false
	}
	a := billing.Alert{
		Claim: "key:" + strconv.FormatInt(c.Seq, 10), Kind: Key, Object: c.Object, Severity: billing.Info, At: c.At,
		Title:  fmt.Sprintf("Key %q %s", owner.Name, about.done),
		Text:   fmt.Sprintf("The key %q %s, by %s.", owner.Name, about.done, cmp.Or(c.Actor, "unknown")),
		Remedy: fmt.Sprintf(about.remedy, c.Object),
		Data:   map[string]string{"action": c.Action, "actor": c.Actor, "key_id": c.Object},
	}
	if c.Reason != "" {
		a.Text += " The reason: " + c.Reason
	}
	if c.Action == "incident.open" {
		a.Kind, a.Severity = Incident, billing.Critical
	}
	if c.Action == "leaver.open" {
		a.Kind, a.Severity, owner.Address = Leaver, billing.Warning, cmp.Or(c.Detail["team_owner"], owner.Address)
	}
	if c.Action == "key.revoke" || c.Action == "key.disable" {
		a.Severity = billing.Warning
	}
	return owner.of(a), true
}

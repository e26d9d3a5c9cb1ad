package alert

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
)

const day = 24 * time.Hour

// Soon is how long before something ends it is first reported.
const Soon = 14 * day

// ends says which threshold before its end something has reached: 14 or 3 days.
func ends(at, now time.Time) (days int, ok bool) {
	switch left := at.Sub(now); {
	case left <= 3*day:
		return 3, true
	case left <= Soon:
		return 14, true
	}
	return 0, false
}

func severityOf(days int) billing.Severity {
	if days == 3 {
		return billing.Critical
	}
	return billing.Warning
}

// OfExpiry returns the alert for something that expires within 14 or 3 days.
func OfExpiry(e billing.Expiry, now time.Time) (billing.Alert, bool) {
	days, soon := ends(e.At, now)
	if !soon {
		return billing.Alert{}, false
	}
	at := e.At.UTC().Format(time.RFC3339)
	a := billing.Alert{
		Claim: fmt.Sprintf("expiry:%s:%d:%s", e.ID, days, at), Kind: Expiry, Object: e.ID, Severity: severityOf(days), At: now,
		Title: fmt.Sprintf("The %s %q expires soon", e.What, e.Name), Text: fmt.Sprintf("The %s %q expires on %s.", e.What, e.Name, at),
		TeamID: e.TeamID, Team: e.Team, Owner: e.Owner,
		Data: map[string]string{"what": e.What, "name": e.Name, "expires_at": at, "days": strconv.Itoa(days)},
	}
	switch e.What {
	case "token":
		a.Remedy = "If it is still needed, make a new one: tallyroute principals token PRINCIPAL."
	case "credential":
		a.Remedy = fmt.Sprintf("Make a new one at the provider, and put it in its place: "+
			"tallyroute credentials rotate %s --from REFERENCE.", e.ID)
	case "secret":
		a.Claim = "expiry:secret" + strings.TrimPrefix(a.Claim, "expiry")
		a.Title = fmt.Sprintf("The key %q is to get a new secret soon", e.Name)
		a.Text = fmt.Sprintf("The secret of key %q is to be replaced by %s.", e.Name, at)
		a.Remedy = fmt.Sprintf("Make a new one: tallyroute keys rotate %s; or have it done by itself: tallyroute keys deliver %s "+
			"--to SINK:PLACE.", e.ID, e.ID)
	default:
		a.Remedy = fmt.Sprintf("If it is still needed: tallyroute keys update %s --expires-in 90d, or make a new key in time.", e.ID)
	}
	return a, true
}

// CertificateFile is a certificate in a file.
type CertificateFile struct {
	File, Subject string
	Until         time.Time
	Fault         string // why it can't be read; "" if it was
}

// OfCertificate alerts that a certificate expires in 14 or 3 days, or can't be read.
func OfCertificate(c CertificateFile, now time.Time) (billing.Alert, bool) {
	a := billing.Alert{Kind: Certificate, Object: c.File, At: now, Data: map[string]string{"file": c.File, "subject": c.Subject}}
	if c.Fault != "" {
		a.Claim, a.Severity, a.Rearm = "certificate:"+c.File+":unreadable", billing.Warning, day
		a.Title, a.Text = "A certificate cannot be read", fmt.Sprintf("%s cannot be read: %s.", c.File, c.Fault)
		a.Remedy = "Put it back, or take it out of alerts.certificates."
		return a, true
	}
	days, soon := ends(c.Until, now)
	if !soon {
		return a, false
	}
	at := c.Until.UTC().Format(time.RFC3339)
	a.Claim, a.Severity = fmt.Sprintf("certificate:%s:%d:%s", c.File, days, at), severityOf(days)
	a.Title, a.Text = "A certificate expires soon", fmt.Sprintf("The certificate of %s in %s expires on %s.", c.Subject, c.File, at)
	a.Remedy = "Renew it before then."
	if !now.Before(c.Until) {
		a.Title, a.Text = "A certificate has expired", fmt.Sprintf("The certificate of %s in %s expired on %s.", c.Subject, c.File, at)
		a.Remedy = "Renew it."
	}
	a.Data["expires_at"] = at
	return a, true
}

// Target is the recent behaviour of a provider, or of a model at one.
type Target struct{ Name, Status, Cause string }

// again is how long a failing target must have been healthy before it is reported again.
const again = 30 * time.Minute

// OfTarget alerts that a provider or a model isn't called, or only for trials.
func OfTarget(t Target, now time.Time) (billing.Alert, bool) {
	if t.Status != "open" && t.Status != "trial" {
		return billing.Alert{}, false
	}
	a := billing.Alert{
		Claim: "provider:" + t.Name, Rearm: again, Kind: Provider, Object: t.Name, Severity: billing.Warning, At: now,
		Title: t.Name + " is not called",
		Text:  fmt.Sprintf("%s fails and is left out until a trial succeeds. The last cause: %s.", t.Name, t.Cause),
		Remedy: "See the provider's own status page, and: tallyroute providers list. Requests go to others that serve the same model, " +
			"if there are any.",
		Data: map[string]string{"cause": t.Cause},
	}
	if t.Cause == "credential" {
		a.Severity = billing.Critical
		a.Remedy = "The provider refuses our credential: replace it, and reload the configuration."
	}
	return a, true
}

// OfUnpriced alerts that a model without a price was used.
func OfUnpriced(u billing.UnpricedModel, now time.Time) billing.Alert {
	name := u.Provider + "/" + u.Model
	return billing.Alert{
		Claim: "unpriced:" + name + ":" + u.Day, Kind: Unpriced, Object: name, Severity: billing.Warning, At: now,
		Title:  name + " has no price",
		Text:   fmt.Sprintf("%d calls of %s on %s have no price: no budget in dollars counts them.", u.Attempts, name, u.Day),
		Remedy: "Give it a price in the configuration, then: tallyroute prices reprice --from " + u.Day + " --to DAY --reason TEXT.",
		Data:   map[string]string{"day": u.Day, "attempts": strconv.FormatInt(u.Attempts, 10)},
	}
}

// FailuresToTell is how often a delivery fails before it is reported.
const FailuresToTell = 3

// OfDelivery alerts that a key's secret can't be delivered.
func OfDelivery(d billing.Delivery, owner Owner, now time.Time) billing.Alert {
	return owner.of(billing.Alert{
		Claim: "delivery:" + string(d.KeyID) + ":" + d.Sink, Rearm: 3 * time.Hour, Kind: Delivery, Object: string(d.KeyID),
		Severity: billing.Warning, At: now, Title: fmt.Sprintf("The secret of key %q cannot be delivered", owner.Name),
		Text: fmt.Sprintf("%d deliveries to the sink %s have failed. The last time: %s. The old secret stays good.", d.Failures, d.Sink,
			d.Failure),
		Remedy: "Mend the sink; see how it stands with: tallyroute keys sinks.",
		Data:   map[string]string{"sink": d.Sink, "failures": strconv.Itoa(d.Failures)},
	})
}

// OfJournal alerts that a router can't write its journal.
func OfJournal(router, fault string, now time.Time) billing.Alert {
	return billing.Alert{
		Claim: "journal:" + router, Rearm: again, Kind: Journal, Object: router, Severity: billing.Critical, At: now,
		Title: "The journal of " + router + " cannot be written", Text: "It answers 503 until it can: " + fault + ".",
		Remedy: "Look at the disk of the journal: whether it is full, mounted and writable.", Data: map[string]string{"router": router},
	}
}

// OfTest returns an alert for testing a channel.
func OfTest(actor string, now time.Time) billing.Alert {
	return billing.Alert{
		ID: billing.NewID("alert_"), Kind: Test, Object: "test", Severity: billing.Info, At: now, Title: "This is a test",
		Text: actor + " tries whether alerts arrive here.", Remedy: "Nothing: they do.", Data: map[string]string{},
	}
}

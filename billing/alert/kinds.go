package alert

import "tallyroute/billing"

// The kinds of alerts.
const (
	Limit       billing.AlertKind = "limit"       // a budget has used a share of a limit
	Forecast    billing.AlertKind = "forecast"    // at this pace it will have used all of it
	Provider    billing.AlertKind = "provider"    // a provider or one of its models is not called
	Unpriced    billing.AlertKind = "unpriced"    // something was used that has no price
	Overrun     billing.AlertKind = "overrun"     // answers took more than was held for them
	Disputed    billing.AlertKind = "disputed"    // a provider reported usage that cannot be right
	Rejected    billing.AlertKind = "rejected"    // the ledger refused a row
	Breach      billing.AlertKind = "breach"      // a law of the ledger does not hold
	Journal     billing.AlertKind = "journal"     // a router cannot write its journal
	Model       billing.AlertKind = "model"       // another model answered than was asked for
	Expiry      billing.AlertKind = "expiry"      // a key or an admin token expires soon
	Certificate billing.AlertKind = "certificate" // a certificate expires soon
	Delivery    billing.AlertKind = "delivery"    // the secret of a key cannot be delivered
	Secret      billing.AlertKind = "secret"      // a secret cannot be had from its manager
	Leak        billing.AlertKind = "leak"        // the secret of a key is exposed
	Runaway     billing.AlertKind = "runaway"     // a session or key ran away and is stopped for a time
	Anomaly     billing.AlertKind = "anomaly"     // the use of a key is unusual
	Key         billing.AlertKind = "key"         // a key was rotated, revoked, disabled, enabled or archived
	Incident    billing.AlertKind = "incident"    // a key got into wrong hands
	Governance  billing.AlertKind = "governance"  // the rules for keys changed, or a review of access is due
	Raise       billing.AlertKind = "raise"       // a member asks for a higher limit
	Leaver      billing.AlertKind = "leaver"      // somebody has left who owns a key
	Test        billing.AlertKind = "test"        // somebody tries a channel, whatever it takes
)

// Kinds are all kinds that a channel can choose.
func Kinds() []billing.AlertKind {
	return []billing.AlertKind{
		Limit, Forecast, Provider, Unpriced, Overrun, Disputed, Rejected, Breach, Journal, Model, Expiry, Certificate, Delivery,
		Secret, Leak, Anomaly, Runaway, Key, Incident, Governance, Raise, Leaver,
	}
}

// Owner is who answers for a key, and the team that it is in.
type Owner struct {
	Name    string // of the key
	TeamID  string
	Team    string
	Address string
}

// OwnerOf is the owner of a key.
func OwnerOf(k *billing.Key) Owner { return Owner{k.Name, k.TeamID, k.Team, k.Address} }

func (o Owner) of(a billing.Alert) billing.Alert {
	a.TeamID, a.Team, a.Owner = o.TeamID, o.Team, o.Address
	return a
}

package alert

import "tallyroute/billing"

// The kinds of alerts.
const (
	Limit       billing.AlertKind = "limit"       // a budget has used a share of a limit
	Forecast    billing.AlertKind = "forecast"    // at this pace it will be used up
	Provider    billing.AlertKind = "provider"    // a provider or one of its models is not called
	Unpriced    billing.AlertKind = "unpriced"    // something without a price was used
	Overrun     billing.AlertKind = "overrun"     // answers took more than was held for them
	Disputed    billing.AlertKind = "disputed"    // a provider reported usage that cannot be right
	Rejected    billing.AlertKind = "rejected"    // the ledger refused a row
	Breach      billing.AlertKind = "breach"      // a law of the ledger is broken
	Journal     billing.AlertKind = "journal"     // a router can't write its journal
	Model       billing.AlertKind = "model"       // a model other than the requested one answered
	Expiry      billing.AlertKind = "expiry"      // a key or an admin token expires soon
	Certificate billing.AlertKind = "certificate" // a certificate expires soon
	Delivery    billing.AlertKind = "delivery"    // a key's secret can't be delivered
	Secret      billing.AlertKind = "secret"      // a secret can't be fetched from its manager
	Leak        billing.AlertKind = "leak"        // the secret of a key is exposed
	Runaway     billing.AlertKind = "runaway"     // a session or key ran away and is temporarily stopped
	Anomaly     billing.AlertKind = "anomaly"     // the use of a key is unusual
	Key         billing.AlertKind = "key"         // a key was rotated, revoked, disabled, enabled or archived
	Incident    billing.AlertKind = "incident"    // a key fell into the wrong hands
	Governance  billing.AlertKind = "governance"  // the rules for keys have changed, or an access review is due
	Raise       billing.AlertKind = "raise"       // a member requests a higher limit
	Leaver      billing.AlertKind = "leaver"      // somebody who owns a key has left
	Test        billing.AlertKind = "test"        // somebody is testing a channel, whatever kinds it takes
)

// Kinds returns all the kinds that a channel can choose from.
func Kinds() []billing.AlertKind {
	return []billing.AlertKind{
		Limit, Forecast, Provider, Unpriced, Overrun, Disputed, Rejected, Breach, Journal, Model, Expiry, Certificate, Delivery,
		Secret, Leak, Anomaly, Runaway, Key, Incident, Governance, Raise, Leaver,
	}
}

// Owner says who is responsible for a key, and its team.
type Owner struct {
	Name    string // of the key
	TeamID  string
	Team    string
	Address string
}

// OwnerOf returns the owner of a key.
func OwnerOf(k *billing.Key) Owner { return Owner{k.Name, k.TeamID, k.Team, k.Address} }

func (o Owner) of(a billing.Alert) billing.Alert {
	a.TeamID, a.Team, a.Owner = o.TeamID, o.Team, o.Address
	return a
}

package manage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
)

// IncidentRequest is about a key that fell into the wrong hands.
type IncidentRequest struct {
	KeyID    billing.KeyID
	Action   billing.IncidentAction
	Networks []netip.Prefix // that a key is narrowed to
	Since    time.Time      // from when its use is in doubt; zero is a week ago
}

func (r IncidentRequest) check(now time.Time) error {
	var faults []error
	switch r.Action {
	case billing.IncidentRevoke, billing.IncidentDisable:
		if len(r.Networks) > 0 {
			faults = append(faults, invalid("networks", "are for narrow alone"))
		}
	case billing.IncidentNarrow:
		if len(r.Networks) == 0 {
			faults = append(faults, invalid("networks", "must say from where the key may still be used"))
		}
	default:
		faults = append(faults, invalid("action", "must be revoke, disable or narrow"))
	}
	if r.Since.After(now) {
		faults = append(faults, invalid("since", "must be in the past"))
	}
	return errors.Join(faults...)
}

// Evidence is what a key had done when its incident was opened.
type Evidence struct {
	Incident  string           `json:"incident"`
	Action    string           `json:"action"`
	Reason    string           `json:"reason"`
	OpenedAt  *string          `json:"opened_at"`
	OpenedBy  string           `json:"opened_by"`
	Since     *string          `json:"since"`
	Key       KeyView          `json:"key" doc:"The key as it was before."`
	Addresses []EvidenceOfUse  `json:"addresses"`
	Agents    []EvidenceOfUse  `json:"user_agents"`
	Endpoints []EvidenceOfUse  `json:"endpoints"`
	Decisions []EvidenceOfUse  `json:"decisions"`
	Models    []EvidenceOfCost `json:"models" doc:"For whole days, including the first."`
	Providers []string         `json:"providers" doc:"The providers that were called."`
	DataClass string           `json:"data_class" doc:"The class of the data in its project; empty means unknown."`
	Owner     string           `json:"owner" doc:"Who is told: the owner of the key."`
	Totals    EvidenceOfAll    `json:"totals"`
	Temporary EvidenceOfTokens `json:"temporary_keys"`
	Changes   []AuditRecord    `json:"changes" doc:"The changes made to the key."`
}

// EvidenceOfUse counts one way in which a key was used.
type EvidenceOfUse struct {
	Name     string  `json:"name"`
	Requests int64   `json:"requests"`
	Refused  int64   `json:"refused"`
	BytesIn  int64   `json:"bytes_in"`
	BytesOut int64   `json:"bytes_out"`
	First    *string `json:"first"`
	Last     *string `json:"last"`
}

// EvidenceOfAll holds totals of what a key did.
type EvidenceOfAll struct {
	Requests  int64  `json:"requests"`
	Refused   int64  `json:"refused"`
	Addresses int    `json:"addresses"`
	CostUSD   string `json:"cost_usd"`
}

// EvidenceOfTokens describes the temporary keys that were made with a key.
type EvidenceOfTokens struct {
	Asked int64 `json:"asked" doc:"The number requested."`
	Ended bool  `json:"ended" doc:"Whether existing ones are refused from now on."`
}

// EvidenceOfCost is what a key spent on one model at one provider.
type EvidenceOfCost struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Requests int64  `json:"requests"`
	Attempts int64  `json:"attempts"`
	CostUSD  string `json:"cost_usd"`
}

// OpenIncident stops or narrows the use of a key, gathers what it did, and seals that. The
// use is stopped first: if a later step fails, the key is already out of use, and opening
// the incident again is the right thing to do.
func (a Actions) OpenIncident(ctx context.Context, r IncidentRequest, by By) (billing.Incident, error) {
	now := a.now().Truncate(time.Microsecond)
	if err := errors.Join(by.needsReason(), r.check(now)); err != nil {
		return billing.Incident{}, err
	}
	if r.Since.IsZero() {
		r.Since = now.Add(-7 * 24 * time.Hour)
	}
	k, err := a.Key(ctx, r.KeyID)
	if err == nil {
		err = a.contain(ctx, r, by.step())
	}
	if err != nil {
		return billing.Incident{}, err
	}
	select {
	case <-time.After(a.Late):
	case <-ctx.Done():
		return billing.Incident{}, ctx.Err()
	}
	note := a.note(by, "incident.open", billing.NewID("inc_"))
	e := Evidence{
		Incident: note.Object, Action: string(r.Action), Reason: note.Reason, OpenedAt: Instant(now), OpenedBy: note.Actor,
		Since: Instant(r.Since), Key: ViewKey(&k, now), DataClass: k.DataClass, Owner: k.Address,
	}
	if err := a.gather(ctx, k.ID, r.Since, &e); err != nil {
		return billing.Incident{}, err
	}
	bundle, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return billing.Incident{}, err
	}
	digest := sha256.Sum256(bundle)
	i := billing.Incident{
		ID: note.Object, KeyID: k.ID, Action: r.Action, Reason: note.Reason, Since: r.Since.UTC().Truncate(time.Microsecond), OpenedAt: now,
		OpenedBy: note.Actor, Bundle: string(bundle), SHA256: hex.EncodeToString(digest[:]),
	}
	note.Detail = map[string]string{"key": string(k.ID), "action": string(r.Action), "sha256": i.SHA256}
	return i, a.Store.AddIncident(ctx, i, note)
}

// contain stops or narrows the use of a key. Its temporary keys end for good, even if the key
// itself can be enabled again.
func (a Actions) contain(ctx context.Context, r IncidentRequest, by By) (err error) {
	switch r.Action {
	case billing.IncidentRevoke:
		_, err = a.RevokeKey(ctx, r.KeyID, Ending{}, by)
	case billing.IncidentDisable:
		disable := disabling(by)
		_, err = a.endUse(ctx, r.KeyID, Ending{}, by, "key.disable", func(k *billing.Key, now time.Time) error {
			k.TokensFrom = now
			return disable(k, now)
		})
	case billing.IncidentNarrow:
		var wider error
		_, err = a.ChangeKey(ctx, r.KeyID, KeyChange{Edit: func(k *billing.Key) {
			if wider = narrows(k, r.Networks); wider == nil {
				k.AllowedCIDRs, k.TokensFrom = r.Networks, a.now().Truncate(time.Microsecond)
			}
		}}, by)
		err = errors.Join(wider, err)
	}
	return err
}

// narrows refuses networks that are not all within the ones that the key already allows.
func narrows(k *billing.Key, networks []netip.Prefix) error {
	for _, n := range networks {
		if !k.AllowsNetwork(n) {
			return invalid("networks", "must be among those that the key is for: %s is not", n)
		}
	}
	return nil
}

// gather collects what a key has done since an instant.
func (a Actions) gather(ctx context.Context, id billing.KeyID, since time.Time, e *Evidence) error {
	for _, part := range []struct {
		by   access.Column
		name func(access.Count) string
		to   *[]EvidenceOfUse
	}{
		{access.ByAddress, func(c access.Count) string { return c.Address }, &e.Addresses},
		{access.ByAgent, func(c access.Count) string { return c.Agent }, &e.Agents},
		{access.ByEndpoint, func(c access.Count) string { return c.Endpoint }, &e.Endpoints},
		{access.ByDecision, func(c access.Count) string { return c.Decision }, &e.Decisions},
	} {
		counts, err := a.Store.CountAccess(ctx, access.Query{KeyID: string(id), Since: since}, part.by)
		if err != nil {
			return err
		}
		*part.to = []EvidenceOfUse{}
		for _, c := range counts {
			*part.to = append(*part.to, EvidenceOfUse{
				part.name(c), c.Requests, c.Refused, c.BytesIn, c.BytesOut, Instant(c.First), Instant(c.Last),
			})
		}
	}
	spent, err := a.Store.Spend(ctx, billing.SpendQuery{
		KeyID: id, From: since.UTC().Format(time.DateOnly), GroupBy: []billing.Dimension{"provider", "model"},
	})
	if err != nil {
		return err
	}
	e.Models, e.Providers = []EvidenceOfCost{}, []string{}
	var cost billing.Money
	for _, row := range spent.Rows {
		e.Models = append(e.Models, EvidenceOfCost{row.Group[0], row.Group[1], row.Requests, row.Attempts, row.Cost.Short()})
		if cost = cost.Add(row.Cost); !slices.Contains(e.Providers, row.Group[0]) {
			e.Providers = append(e.Providers, row.Group[0])
		}
	}
	e.sum(cost)
	changes, err := a.Store.ListChanges(ctx, billing.ChangeFilter{Object: string(id), Since: since, Limit: 1000})
	e.Changes = []AuditRecord{}
	for _, c := range changes {
		e.Changes = append(e.Changes, ViewAuditRecord(c))
	}
	return err
}

// sum computes the totals of the evidence.
func (e *Evidence) sum(cost billing.Money) {
	for _, use := range e.Decisions {
		e.Totals.Requests, e.Totals.Refused = e.Totals.Requests+use.Requests, e.Totals.Refused+use.Refused
	}
	for _, use := range e.Endpoints {
		if strings.HasSuffix(use.Name, "/key/tokens") {
			e.Temporary.Asked += use.Requests
		}
	}
	e.Totals.Addresses, e.Totals.CostUSD, e.Temporary.Ended = len(e.Addresses), cost.Short(), true
}

// CloseIncident closes an incident. Its reason must be the outcome.
func (a Actions) CloseIncident(ctx context.Context, id string, by By) (billing.Incident, error) {
	if err := by.needsReason(); err != nil {
		return billing.Incident{}, err
	}
	note := a.note(by, "incident.close", id)
	end := billing.Incident{ClosedAt: note.At, ClosedBy: note.Actor, Outcome: note.Reason}
	if err := a.Store.CloseIncident(ctx, id, end, note); err != nil {
		return billing.Incident{}, err
	}
	return a.Incident(ctx, id)
}

// Incidents lists incidents, newest first.
func (a Actions) Incidents(ctx context.Context) ([]billing.Incident, error) {
	return a.Store.ListIncidents(ctx, "")
}

// Incident returns the incident with the given id.
func (a Actions) Incident(ctx context.Context, id string) (billing.Incident, error) {
	list, err := a.Store.ListIncidents(ctx, id)
	if err == nil && (len(list) == 0 || id == "") {
		err = &billing.NotFoundError{What: "incident", ID: id}
	}
	if err != nil {
		return billing.Incident{}, err
	}
	return list[0], nil
}

// IncidentView is an incident in JSON.
type IncidentView struct {
	ID       string  `json:"id"`
	KeyID    string  `json:"key_id"`
	Status   string  `json:"status" enum:"open,closed"`
	Action   string  `json:"action" enum:"revoke,disable,narrow"`
	Reason   string  `json:"reason"`
	Since    *string `json:"since"`
	OpenedAt *string `json:"opened_at"`
	OpenedBy string  `json:"opened_by"`
	SHA256   string  `json:"sha256" doc:"The SHA-256 of the bundle's bytes. It is in the audit log, too."`
	Bundle   string  `json:"bundle" doc:"What the key did, as JSON; left out in lists."`
	ClosedAt *string `json:"closed_at"`
	ClosedBy *string `json:"closed_by"`
	Outcome  *string `json:"outcome"`
}

// ViewIncident converts an incident to JSON form.
func ViewIncident(i billing.Incident) IncidentView {
	status := "open"
	if !i.ClosedAt.IsZero() {
		status = "closed"
	}
	return IncidentView{
		i.ID, string(i.KeyID), status, string(i.Action), i.Reason, Instant(i.Since), Instant(i.OpenedAt), i.OpenedBy, i.SHA256, i.Bundle,
		Instant(i.ClosedAt), TextOrNull(i.ClosedBy), TextOrNull(i.Outcome),
	}
}

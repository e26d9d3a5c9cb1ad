package manage

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
)

// MostPersonRows is the maximum number of rows exported for a person; the totals cover all
// of them.
const MostPersonRows = 100_000

// PersonExport is what is stored about an end user, an address, or an owner of keys.
type PersonExport struct {
	Name      string        `json:"name"`
	Pseudonym *string       `json:"pseudonym"` // used in the rows; null: none has one
	Totals    PersonTotals  `json:"totals"`
	Rows      []PersonRow   `json:"rows"` // in order of time, at most 100,000
	Access    []AccessEntry `json:"access"`
	Keys      []PersonKey   `json:"keys"` // made or owned by the person
}

// PersonTotals cover all rows.
type PersonTotals struct {
	Rows    int64   `json:"rows"`
	Tokens  int64   `json:"tokens"`
	CostUSD string  `json:"cost_usd"`
	FirstAt *string `json:"first_at"`
	LastAt  *string `json:"last_at"`
	// Plain is the number of rows that are older than pseudonyms and contain the name
	// itself.
	Plain int64 `json:"rows_with_the_name"`
}

// PersonRow is one attempt.
type PersonRow struct {
	At             *string           `json:"at"`
	RequestID      string            `json:"request_id"`
	Attempt        int               `json:"attempt"`
	Kind           string            `json:"kind"`
	KeyID          string            `json:"key_id"`
	RequestedModel string            `json:"requested_model"`
	Provider       string            `json:"provider"`
	Model          string            `json:"model"`
	Status         string            `json:"status"`
	Tokens         int64             `json:"tokens"`
	CostUSD        string            `json:"cost_usd"`
	Tags           map[string]string `json:"tags"`
	Session        *string           `json:"session"`
}

// PersonKey is a key and why it is listed.
type PersonKey struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Display string `json:"key"`
	Status  string `json:"status"`
}

// PersonErased is what an erasure removed, or would remove.
type PersonErased struct {
	Pseudonym *string `json:"pseudonym"` // shown in rows from now on; null: nothing is erased yet, or there are no rows
	Rows      int64   `json:"rows"`      // rows that lose the name
	Plain     int64   `json:"rows_with_the_name"`
	Access    int64   `json:"access"`    // entries that lost their address and program, or were removed
	Responses int64   `json:"responses"` // stored responses that are removed
	Rejects   int64   `json:"rejects"`
	DryRun    bool    `json:"dry_run"`
}

// personRequests is how many requests are processed at once.
const personRequests = 1000

// ExportPerson collects what is stored about a person.
func (a Actions) ExportPerson(ctx context.Context, name string) (PersonExport, error) {
	v := PersonExport{Name: name, Rows: []PersonRow{}, Access: []AccessEntry{}, Keys: []PersonKey{}}
	if strings.TrimSpace(name) == "" {
		return v, invalid("name", "is required")
	}
	t := personTotals{}
	err := a.Store.PersonRows(ctx, name, func(s billing.Spend) error {
		t.add(s)
		if len(v.Rows) < MostPersonRows {
			v.Rows = append(v.Rows, viewPersonRow(s))
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	v.Totals, v.Pseudonym = t.view(), TextOrNull(t.pseudonym)
	if from, err := netip.ParseAddr(name); err == nil {
		entries, err := a.Store.ListAccess(ctx, access.Query{Address: from})
		if err != nil {
			return v, err
		}
		for _, e := range entries {
			v.Access = append(v.Access, ViewAccessEntry(e))
		}
	}
	v.Keys, err = a.personKeys(ctx, name)
	return v, err
}

func (a Actions) personKeys(ctx context.Context, name string) ([]PersonKey, error) {
	list := []PersonKey{}
	err := a.eachKey(ctx, billing.KeyFilter{}, func(k *billing.Key) error {
		if strings.EqualFold(k.Address, name) || k.CreatedBy == name {
			list = append(list, PersonKey{string(k.ID), k.Name, k.Display, k.Status(a.now())})
		}
		return nil
	})
	return list, err
}

// PersonErasure says whose name is to be erased.
type PersonErasure struct {
	Name   string
	DryRun bool // only report what would be erased
}

// ErasePerson removes the name of an end user from all rows, along with anything else that
// the person's requests left; for an address, it removes the entries of the access record.
// The audit log keeps the pseudonym and never the name, so the reason must not contain the
// name either. If nothing is held under the name, nothing changes, so that an erasure may be
// repeated.
func (a Actions) ErasePerson(ctx context.Context, e PersonErasure, by By) (v PersonErased, err error) {
	v.DryRun = e.DryRun
	switch {
	case strings.TrimSpace(e.Name) == "":
		return v, invalid("name", "is required")
	case strings.TrimSpace(by.Reason) == "":
		return v, invalid("reason", "is required")
	case strings.Contains(strings.ToLower(by.Reason), strings.ToLower(e.Name)):
		return v, invalid("reason", "must not have the name: the audit log keeps it for good")
	}
	from, notAddress := netip.ParseAddr(e.Name)
	if notAddress == nil {
		if v.Access, err = a.eraseAddress(ctx, from, e, by); err != nil {
			return v, err
		}
	}
	t := personTotals{}
	if err := a.forgetRows(ctx, e, &t, &v); err != nil {
		return v, err
	}
	v.Rows, v.Plain = t.rows, t.plain
	if e.DryRun {
		v.Pseudonym = TextOrNull(t.pseudonym)
		return v, nil
	}
	done, err := a.Store.ErasePerson(ctx, billing.PersonErasure{
		Name: e.Name, Plain: t.plain > 0, Again: t.rows > 0 && billing.IsPseudonym(e.Name), Now: a.now(),
		Notes: []*billing.Change{a.note(by, "person.erase", "")},
	})
	if errors.As(err, new(*billing.NotFoundError)) {
		return v, nil // erased before: nobody can tell that from a name that was never there
	}
	v.Pseudonym, v.Rejects = TextOrNull(done.Pseudonym), done.Rejects
	return v, err
}

// eraseAddress removes, or only counts, the access record entries of an address.
func (a Actions) eraseAddress(ctx context.Context, from netip.Addr, e PersonErasure, by By) (n int64, err error) {
	q := access.Query{Address: from}
	if !e.DryRun {
		return a.EraseAccess(ctx, q, by)
	}
	counts, err := a.Store.CountAccess(ctx, q)
	for _, c := range counts {
		n += c.Requests
	}
	return n, err
}

// forgetRows adds up the rows of a person, and removes from the database what else their
// requests left.
func (a Actions) forgetRows(ctx context.Context, e PersonErasure, t *personTotals, v *PersonErased) error {
	var r billing.ForgottenRequests
	forget := func() error {
		if len(r.IDs) == 0 || e.DryRun {
			return nil
		}
		found, err := a.Store.ForgetRequests(ctx, r)
		v.Access, v.Responses = v.Access+found.Access, v.Responses+found.Responses
		r = billing.ForgottenRequests{}
		return err
	}
	err := a.Store.PersonRows(ctx, e.Name, func(s billing.Spend) error {
		t.add(s)
		if e.DryRun {
			return nil
		}
		if len(r.IDs) == 0 {
			r.From = s.OccurredAt
		}
		r.IDs, r.To = append(r.IDs, s.RequestID), s.OccurredAt
		if len(r.IDs) == personRequests {
			return forget()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return forget()
}

// personTotals adds up the rows of one person.
type personTotals struct {
	pseudonym           string
	rows, plain, tokens int64
	cost                billing.Money
	first, last         time.Time
}

func (t *personTotals) add(s billing.Spend) {
	if billing.IsPseudonym(s.EndUser) {
		t.pseudonym = s.EndUser
	} else {
		t.plain++
	}
	if t.rows == 0 {
		t.first = s.OccurredAt
	}
	t.rows, t.last = t.rows+1, s.OccurredAt
	t.tokens, t.cost = billing.SatAdd(t.tokens, s.Tokens.Total()), t.cost.Add(s.Cost.Total)
}

func (t *personTotals) view() PersonTotals {
	return PersonTotals{
		Rows: t.rows, Tokens: t.tokens, CostUSD: t.cost.Short(), FirstAt: Instant(t.first), LastAt: Instant(t.last), Plain: t.plain,
	}
}

func viewPersonRow(s billing.Spend) PersonRow {
	v := PersonRow{
		At: Instant(s.OccurredAt), RequestID: s.RequestID, Attempt: s.Attempt, Kind: string(s.Kind), KeyID: string(s.Owner.KeyID),
		RequestedModel: s.RequestedModel, Provider: s.Provider, Model: s.Model, Status: string(s.Status),
		Tokens: s.Tokens.Total(), CostUSD: s.Cost.Total.Short(), Tags: s.Tags, Session: TextOrNull(s.Session),
	}
	if v.Tags == nil {
		v.Tags = map[string]string{}
	}
	return v
}

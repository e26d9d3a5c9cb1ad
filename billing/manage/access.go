package manage

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/billing/policy"
)

// AccessEntry is an entry of the access record in JSON.
type AccessEntry struct {
	At        *string `json:"at"`
	RequestID string  `json:"request_id"`
	KeyID     *string `json:"key_id"` // null: no key of ours was sent
	Version   int     `json:"version"`
	Address   *string `json:"address"`
	Agent     string  `json:"user_agent"`
	Endpoint  string  `json:"endpoint"`
	Decision  string  `json:"decision"` // allowed, or the code of the error
	Status    int     `json:"status"`
	BytesIn   int64   `json:"bytes_in"`
	BytesOut  int64   `json:"bytes_out"`
}

// ViewAccessEntry converts an entry to JSON form.
func ViewAccessEntry(e access.Entry) AccessEntry {
	return AccessEntry{
		At: Instant(e.At), RequestID: e.RequestID, KeyID: TextOrNull(e.KeyID), Version: e.Version,
		Address: TextOrNull(access.From(e.Address)),
		Agent:   e.Agent, Endpoint: e.Endpoint, Decision: e.Decision, Status: e.Status, BytesIn: e.BytesIn, BytesOut: e.BytesOut,
	}
}

// Access lists who used which key, newest first.
func (a Actions) Access(ctx context.Context, q access.Query) ([]access.Entry, error) {
	return a.Store.ListAccess(ctx, q)
}

// EraseAccess removes entries of the access record for good. The audit log doesn't say
// whose entries they were, as that may be exactly what is to be forgotten.
func (a Actions) EraseAccess(ctx context.Context, q access.Query, by By) (int64, error) {
	if q.Empty() {
		return 0, invalid("query", "say of which key, address, user agent or time")
	}
	note := a.note(by, "access.erase", cmp.Or(q.KeyID, "access_log"))
	if !q.Until.IsZero() {
		note.Detail = map[string]string{"until": q.Until.UTC().Format(time.RFC3339)}
	}
	return a.Store.EraseAccess(ctx, q, note)
}

// SharedKey is a key that several workloads use at the same time, with a proposal for
// splitting it.
type SharedKey struct {
	KeyID     string         `json:"key_id"`
	Name      string         `json:"name"`
	Team      string         `json:"team"`
	Project   string         `json:"project"`
	Workloads []WorkloadView `json:"workloads"` // largest first; the largest keeps the key
}

// WorkloadView is the use of a key from one network by one program.
type WorkloadView struct {
	Program   string  `json:"program"`
	Network   *string `json:"network"`
	Addresses int     `json:"addresses"`
	Requests  int64   `json:"requests"`
	FirstAt   *string `json:"first_at"`
	LastAt    *string `json:"last_at"`
	// Proposal is the name for a separate key; null for the workload that keeps this one.
	Proposal *string `json:"proposal"`
}

// SharedKeys returns the keys that several workloads have used at the same time since an
// instant: of one key, or of all those that visible admits.
func (a Actions) SharedKeys(ctx context.Context, id billing.KeyID, since time.Time, visible func(*billing.Key) bool) ([]SharedKey, error) {
	counts, err := a.Store.CountAccess(ctx, access.Query{KeyID: string(id), Since: since, Decision: access.Allowed},
		access.ByKey, access.ByAddress, access.ByAgent)
	if err != nil {
		return nil, err
	}
	of := make(map[string][]access.Count)
	for _, c := range counts {
		of[c.KeyID] = append(of[c.KeyID], c)
	}
	list := []SharedKey{}
	for id, counts := range of {
		workloads := access.Workloads(counts)
		if id == "" || !access.Shared(workloads) {
			continue
		}
		k, err := a.Key(ctx, billing.KeyID(id))
		if err != nil {
			return nil, err
		}
		if visible(&k) {
			list = append(list, viewShared(&k, workloads))
		}
	}
	slices.SortFunc(list, func(a, b SharedKey) int { return cmp.Compare(a.KeyID, b.KeyID) })
	return list, nil
}

func viewShared(k *billing.Key, workloads []access.Workload) SharedKey {
	v := SharedKey{KeyID: string(k.ID), Name: k.Name, Team: k.Team, Project: k.Project}
	for i, w := range workloads {
		one := WorkloadView{
			Program: w.Program, Addresses: w.Addresses, Requests: w.Requests, FirstAt: Instant(w.First), LastAt: Instant(w.Last),
		}
		if w.Network.IsValid() {
			one.Network = TextOrNull(w.Network.String())
		}
		if i > 0 {
			one.Proposal = TextOrNull(billing.CleanText(fmt.Sprintf("%s-%s-%d", k.Name, cmp.Or(w.Program, "unnamed"), i+1)))
		}
		v.Workloads = append(v.Workloads, one)
	}
	return v
}

// RightsSpan is how far back a key's rights are compared with its use.
const RightsSpan = 90 * 24 * time.Hour

// KeyRights compares a key's rights with its use.
type KeyRights struct {
	KeyID    string      `json:"key_id"`
	Name     string      `json:"name"`
	Team     string      `json:"team"`
	Project  string      `json:"project"`
	Requests int64       `json:"requests"`       // number recorded
	Recorded *string     `json:"recorded_since"` // when the first was recorded; null: none was
	Rights   []RightView `json:"rights"`
}

// RightView is one kind of thing that a key is allowed to use.
type RightView struct {
	Right    string   `json:"right" enum:"models,addresses,endpoints"`
	Granted  []string `json:"granted" nullable:"true"` // null: all
	Used     []string `json:"used"`
	Unused   []string `json:"unused"`
	Proposal []string `json:"proposal" nullable:"true"` // what would be enough; null: it can't be narrower, or wasn't used
}

// Rights compares what keys may do with what they did within RightsSpan before now,
// according to their ledger rows and, as far back as it goes, the access record.
func (a Actions) Rights(ctx context.Context, from billing.Reports, keys []billing.Key, zone *time.Location) ([]KeyRights, error) {
	since := a.now().Add(-RightsSpan)
	list := make([]KeyRights, len(keys))
	for i := range keys {
		k := &keys[i]
		spent, err := from.Spend(ctx, billing.SpendQuery{
			GroupBy: []billing.Dimension{"requested_model"}, KeyID: k.ID, From: since.In(zone).Format(time.DateOnly),
		})
		if err != nil {
			return nil, err
		}
		counts, err := a.Store.CountAccess(ctx, access.Query{KeyID: string(k.ID), Since: since, Decision: access.Allowed},
			access.ByAddress, access.ByEndpoint)
		if err != nil {
			return nil, err
		}
		list[i] = rightsOf(k, spent, counts)
	}
	return list, nil
}

func rightsOf(k *billing.Key, spent billing.SpendReport, counts []access.Count) KeyRights {
	v := KeyRights{KeyID: string(k.ID), Name: k.Name, Team: k.Team, Project: k.Project}
	var models, networks, endpoints []string
	for _, line := range spent.Rows {
		models = append(models, line.Group...)
	}
	var first time.Time
	for _, c := range counts {
		if network := access.NetworkOf(c.Address); network.IsValid() {
			networks = append(networks, network.String())
		}
		endpoints = append(endpoints, endpointOf(c.Endpoint))
		if v.Requests += c.Requests; first.IsZero() || c.First.Before(first) {
			first = c.First
		}
	}
	v.Recorded = Instant(first)
	granted := ViewKey(k, first)
	v.Rights = []RightView{
		right("models", granted.Models, models, namesModel),
		right("addresses", granted.AllowedCIDRs, networks, overlaps),
		right("endpoints", grantedEndpoints(k), endpoints, same),
	}
	return v
}

// right compares one list; covers reports whether a granted entry allows a used one.
func right(name string, granted, used []string, covers func(granted, used string) bool) RightView {
	slices.Sort(used)
	v := RightView{Right: name, Granted: granted, Used: slices.Compact(used), Unused: []string{}}
	if v.Used == nil {
		v.Used = []string{}
	}
	for _, g := range granted {
		if !slices.ContainsFunc(v.Used, func(u string) bool { return covers(g, u) }) {
			v.Unused = append(v.Unused, g)
		}
	}
	switch {
	case len(v.Used) == 0:
	case len(granted) == 0:
		v.Proposal = v.Used
	case len(v.Unused) > 0:
		v.Proposal = slices.DeleteFunc(slices.Clone(granted), func(g string) bool { return slices.Contains(v.Unused, g) })
	}
	return v
}

// namesModel reports whether an entry in a key's list may mean the model that was asked
// for. A group may contain any model.
func namesModel(granted, used string) bool {
	if provider, all := strings.CutSuffix(granted, "/*"); all {
		return strings.HasPrefix(used, provider+"/")
	}
	return granted == used || strings.HasPrefix(granted, "@") || strings.HasSuffix(used, "/"+granted)
}

// overlaps reports whether a granted range overlaps a network that was used.
func overlaps(granted, used string) bool {
	g, err := netip.ParsePrefix(granted)
	u, err2 := netip.ParsePrefix(used)
	return err == nil && err2 == nil && g.Overlaps(u)
}

func same(granted, used string) bool { return granted == used }

// grantedEndpoints returns the endpoints of the narrowest policy that names any; nil is
// all.
func grantedEndpoints(k *billing.Key) []string {
	for _, p := range []*policy.Policy{k.Policies.Key, k.Policies.Project, k.Policies.Team} {
		if p != nil && len(p.Endpoints) > 0 {
			return p.Endpoints
		}
	}
	return nil
}

// endpointOf returns the name of a route in policies.
func endpointOf(route string) string {
	switch route {
	case "/v1/chat/completions":
		return "chat"
	case "/v1/messages/count_tokens", "/v1/responses/input_tokens":
		return "count_tokens"
	case "/v1/requests/:id":
		return "key"
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(route, "/v1/"), "/")
	return name
}

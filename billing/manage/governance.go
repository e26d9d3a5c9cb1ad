package manage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/alert"
	"tallyroute/billing/governance"
)

// RulesView is a version of the organisation's rules in JSON.
type RulesView struct {
	Version int64            `json:"version" doc:"0 means that there are no rules yet."`
	SHA256  string           `json:"sha256" doc:"The SHA-256 of the rules as stored."`
	Author  string           `json:"author"`
	Reason  string           `json:"reason"`
	MadeAt  *string          `json:"made_at"`
	Rules   governance.Rules `json:"rules"`
}

// rules returns the rules in force with their version; nil if there are none.
func (a Actions) rules(ctx context.Context) (*governance.Rules, billing.RuleSet, error) {
	if a.Store.Governance == nil {
		return nil, billing.RuleSet{}, nil
	}
	list, err := a.Store.ListRules(ctx, 1)
	if err != nil || len(list) == 0 {
		return nil, billing.RuleSet{}, err
	}
	var r governance.Rules
	if err := json.Unmarshal([]byte(list[0].Rules), &r); err != nil {
		return nil, list[0], fmt.Errorf("billing/manage: version %d of the rules: %w", list[0].Version, err)
	}
	return &r, list[0], nil
}

func viewRules(s billing.RuleSet) RulesView {
	v := RulesView{Version: s.Version, SHA256: s.SHA256, Author: s.Author, Reason: s.Reason, MadeAt: Instant(s.MadeAt)}
	_ = json.Unmarshal([]byte(s.Rules), &v.Rules) // as written by SetRules
	return v
}

// Rules returns the rules in force.
func (a Actions) Rules(ctx context.Context) (RulesView, error) {
	_, set, err := a.rules(ctx)
	return viewRules(set), err
}

// RuleVersions returns all versions of the rules, newest first.
func (a Actions) RuleVersions(ctx context.Context) ([]RulesView, error) {
	list, err := a.Store.ListRules(ctx, 0)
	views := make([]RulesView, len(list))
	for i, s := range list {
		views[i] = viewRules(s)
	}
	return views, err
}

// RulesChange is a new set of rules to replace those in force.
type RulesChange struct {
	Rules    governance.Rules
	Replaces int64 // the version that they are based on; 0 is any
	DryRun   bool  // only report what would be broken
}

// RulesSet is the rules now in force, and what breaks them.
type RulesSet struct {
	RulesView
	Findings []governance.Finding `json:"findings" doc:"Whatever breaks the rules at present."`
}

// SetRules puts rules in force. It needs a reason, and notifies everybody who owns keys.
// Rules that are already in force keep their version.
func (a Actions) SetRules(ctx context.Context, c RulesChange, by By) (RulesSet, error) {
	known := governance.Known{Sources: a.SecretSources}
	for _, k := range alert.Kinds() {
		known.Alerts = append(known.Alerts, string(k))
	}
	if err := errors.Join(c.Rules.Check(known), by.needsReason()); err != nil {
		return RulesSet{}, err
	}
	_, last, err := a.rules(ctx)
	if err != nil {
		return RulesSet{}, err
	}
	if c.Replaces != 0 && c.Replaces != last.Version {
		return RulesSet{}, newerRules(last.Version)
	}
	text, err := json.Marshal(c.Rules)
	if err != nil {
		return RulesSet{}, err
	}
	note := a.note(by, "governance.set", "")
	next := billing.RuleSet{
		Version: last.Version + 1, Rules: string(text), SHA256: digestOf(string(text)), Author: note.Actor, Reason: note.Reason,
		MadeAt: note.At.Truncate(time.Microsecond),
	}
	switch {
	case next.SHA256 == last.SHA256:
		next = last
	case !c.DryRun:
		if err := a.addRules(ctx, last, next, note); err != nil {
			return RulesSet{}, err
		}
	}
	set := RulesSet{RulesView: viewRules(next)}
	set.Findings, _, err = a.findings(ctx, &c.Rules)
	return set, err
}

func newerRules(version int64) error {
	return &billing.ConflictError{Detail: fmt.Sprintf("version %d of the rules is in force: read it, and change that", version)}
}

func (a Actions) addRules(ctx context.Context, last, next billing.RuleSet, note *billing.Change) error {
	note.Object = "rules/" + strconv.FormatInt(next.Version, 10)
	note.Detail = differences(viewRules(last).Rules, viewRules(next).Rules)
	note.Detail["sha256"] = next.SHA256
	owners, err := a.owners(ctx)
	if err != nil {
		return err
	}
	err = a.Store.AddRules(ctx, next, rulesEvents(next, owners), note)
	if errors.Is(err, billing.ErrDuplicate) {
		return newerRules(next.Version)
	}
	return err
}

// rulesEvents returns the events about changed rules: one for everybody, and one per owner.
func rulesEvents(s billing.RuleSet, owners []string) []billing.Event {
	version := strconv.FormatInt(s.Version, 10)
	text := fmt.Sprintf("Version %s of the rules for keys is in force, by %s. The reason: %s.", version, s.Author,
		strings.TrimSuffix(s.Reason, "."))
	one := func(owner, id, text string) billing.Event {
		return billing.Event{
			Kind: billing.EventGovernance, Object: "rules/" + version, Severity: billing.Warning, Text: text, DedupID: id, At: s.MadeAt,
			Data: map[string]string{"version": version, "sha256": s.SHA256, "author": s.Author, "owner": owner},
		}
	}
	all := []billing.Event{one("", "governance:rules:"+version, text)}
	for _, owner := range owners {
		all = append(all, one(owner, "governance:rules:"+version+":"+owner, text+" You answer for keys: read them, and acknowledge them."))
	}
	return all
}

// owners returns the addresses of those responsible for keys and teams, in order.
func (a Actions) owners(ctx context.Context) ([]string, error) {
	found := make(map[string]bool)
	teams, err := a.Store.ListTeams(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range teams {
		if t.ArchivedAt.IsZero() && t.OwnerEmail != "" {
			found[t.OwnerEmail] = true
		}
	}
	err = a.eachKey(ctx, billing.KeyFilter{}, func(k *billing.Key) error {
		if k.Address != "" && k.RevokedAt.IsZero() {
			found[k.Address] = true
		}
		return nil
	})
	return slices.Sorted(maps.Keys(found)), err
}

// eachKey calls do for each of the selected keys, in order.
func (a Actions) eachKey(ctx context.Context, f billing.KeyFilter, do func(*billing.Key) error) error {
	for f.Now = a.now(); ; {
		keys, err := a.Store.ListKeys(ctx, f)
		if err != nil || len(keys) == 0 {
			return err
		}
		for i := range keys {
			if err := do(&keys[i]); err != nil {
				return err
			}
		}
		f.After = keys[len(keys)-1].ID
	}
}

// AcknowledgementsView says who has acknowledged the rules in force, and who hasn't.
type AcknowledgementsView struct {
	Version int64                 `json:"version"`
	Done    []AcknowledgementView `json:"acknowledged"`
	Missing []string              `json:"missing" doc:"The addresses of owners of keys or teams."`
}

// AcknowledgementView is one acknowledgement.
type AcknowledgementView struct {
	Owner string  `json:"owner"`
	Actor string  `json:"actor" doc:"Who recorded it."`
	At    *string `json:"at"`
}

// Acknowledge records that somebody has acknowledged a version of the rules; 0 is the one
// in force.
func (a Actions) Acknowledge(ctx context.Context, version int64, owner string, by By) (AcknowledgementsView, error) {
	owner = strings.TrimSpace(owner)
	if owner == "" || !isAddress(owner) {
		return AcknowledgementsView{}, invalid("owner", "must be the address of who takes note, such as ann@example.com")
	}
	_, last, err := a.rules(ctx)
	if err := errors.Join(err, by.check()); err != nil {
		return AcknowledgementsView{}, err
	}
	if version == 0 {
		version = last.Version
	}
	note := a.note(by, "governance.acknowledge", "rules/"+strconv.FormatInt(version, 10))
	note.Detail = map[string]string{"owner": owner}
	err = a.Store.Acknowledge(ctx, billing.Acknowledgement{
		Version: version, Owner: owner, Actor: note.Actor, At: note.At.Truncate(time.Microsecond),
	}, note)
	if err != nil {
		return AcknowledgementsView{}, err
	}
	return a.Acknowledgements(ctx)
}

// Acknowledgements returns who has acknowledged the rules in force, and who hasn't.
func (a Actions) Acknowledgements(ctx context.Context) (AcknowledgementsView, error) {
	v := AcknowledgementsView{Done: []AcknowledgementView{}, Missing: []string{}}
	_, last, err := a.rules(ctx)
	if err != nil || last.Version == 0 {
		return v, err
	}
	v.Version = last.Version
	done, err := a.Store.ListAcknowledgements(ctx, last.Version)
	if err != nil {
		return v, err
	}
	has := make(map[string]bool, len(done))
	for _, d := range done {
		has[d.Owner] = true
		v.Done = append(v.Done, AcknowledgementView{d.Owner, d.Actor, Instant(d.At)})
	}
	owners, err := a.owners(ctx)
	for _, o := range owners {
		if !has[o] {
			v.Missing = append(v.Missing, o)
		}
	}
	return v, err
}

// AddressOf returns the address of a principal; "" if it has none.
func (a Actions) AddressOf(ctx context.Context, id string) (string, error) {
	if id == "" {
		return "", nil
	}
	all, err := a.Store.ListPrincipals(ctx)
	for _, p := range all {
		if p.ID == id {
			return p.Email, nil
		}
	}
	return "", err
}

// Asks returns what the rules in force require of a key, in sentences, and their version.
func (a Actions) Asks(ctx context.Context, k *billing.Key) (version int64, text []string, err error) {
	rules, set, err := a.rules(ctx)
	return set.Version, rules.Asks(k), err
}

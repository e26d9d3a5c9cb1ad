package billing

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Issuer makes, changes and ends keys: what the command line and the admin API
// have in common.
type Issuer struct {
	Keys   Keys
	Owners Owners
	Pepper Pepper
	// KnownModel reports whether a key may be limited to name, and if not, what
	// is near. Nil accepts every name.
	KnownModel func(name string) (nearest string, known bool)
	Clock      func() time.Time // nil is time.Now
}

// KeyRequest is a key that somebody asks for.
type KeyRequest struct {
	Name        string
	Project     string // name or id; "" is "default". Made if it is new.
	Team        string // name or id; "" is that of the project, or "default". Made if it is new.
	CostCenter  string // of a team that is new
	Environment string // "" is that of the project, or dev for one that is new

	Models            []string
	Budgets           []Budget // their ids and scopes are filled in
	AllowedCIDRs      []netip.Prefix
	RequestsPerMinute int64
	TokensPerMinute   int64
	AllowUnpriced     bool
	Tags              map[string]string
	ExpiresAt         time.Time // zero: never
	CreatedBy         string
}

// FieldError is a member of a KeyRequest, or of a key, that cannot be.
type FieldError struct {
	Field  string // as models[0]; "" for the whole
	Code   string // "invalid_value" or "unknown_model"
	Detail string // what it must be
}

// Error names the field.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return "billing: " + e.Detail
	}
	return fmt.Sprintf("billing: %s: %s", e.Field, e.Detail)
}

// The owners of keys that name none.
const (
	defaultTeam        = "default"
	defaultProject     = "default"
	defaultEnvironment = "dev"
)

// Issue makes a key and its secret, which is stored nowhere. Refusals are
// *FieldError, one for each fault, *NotFoundError and *ConflictError.
func (i Issuer) Issue(ctx context.Context, r KeyRequest) (Key, Secret, error) {
	now := i.now()
	k := Key{
		ID: KeyID(NewID("key_")), Name: strings.TrimSpace(r.Name), Models: r.Models, AllowedCIDRs: r.AllowedCIDRs,
		RequestsPerMinute: r.RequestsPerMinute, TokensPerMinute: r.TokensPerMinute, AllowUnpriced: r.AllowUnpriced,
		Tags: r.Tags, CreatedBy: r.CreatedBy, CreatedAt: now, ExpiresAt: r.ExpiresAt,
	}
	for _, b := range r.Budgets {
		b.ID, b.Scope, b.ScopeID = NewID("bud_"), ScopeKey, string(k.ID)
		k.Budgets = append(k.Budgets, b)
	}
	if err := errors.Join(i.check(&k), checkOwner(r), checkExpiry(k.ExpiresAt, now)); err != nil {
		return Key{}, Secret{}, err
	}
	p, err := i.project(ctx, r)
	if err != nil {
		return Key{}, Secret{}, err
	}
	secret, err := NewSecret(p.Environment, rand.Reader)
	if err != nil {
		return Key{}, Secret{}, err
	}
	k.ProjectID, k.Project, k.TeamID, k.Team = p.ID, p.Name, p.TeamID, p.Team
	k.CostCenter, k.Environment, k.Display = p.CostCenter, p.Environment, secret.Display()
	if err := i.Keys.CreateKey(ctx, k, secret.Hash(i.Pepper)); err != nil {
		return Key{}, Secret{}, err
	}
	// As stored, it also has the budgets of its owners. The secret must not be
	// lost for lack of them.
	if stored, err := i.Find(ctx, k.ID); err == nil {
		k = stored
	}
	return k, secret, nil
}

// Find is the key with an id.
func (i Issuer) Find(ctx context.Context, id KeyID) (Key, error) {
	if id == "" {
		return Key{}, &NotFoundError{What: "key"}
	}
	list, err := i.Keys.ListKeys(ctx, KeyFilter{ID: id, Limit: 1, Now: i.now()})
	if err != nil {
		return Key{}, err
	}
	if len(list) == 0 {
		return Key{}, &NotFoundError{What: "key", ID: string(id)}
	}
	return list[0], nil
}

// Change changes a key that is in force. change may run more than once.
func (i Issuer) Change(ctx context.Context, id KeyID, change func(*Key)) (Key, error) {
	return i.Keys.UpdateKey(ctx, id, func(k *Key) error {
		if !k.RevokedAt.IsZero() {
			return &ConflictError{Detail: fmt.Sprintf("key %s is revoked, which is for good: make a new one", id)}
		}
		expires := k.ExpiresAt
		change(k)
		k.Name = strings.TrimSpace(k.Name)
		if k.ExpiresAt.Equal(expires) {
			return i.check(k)
		}
		return errors.Join(i.check(k), checkExpiry(k.ExpiresAt, i.now()))
	})
}

// Revoke ends a key for good. A key that is revoked already stays as it is.
func (i Issuer) Revoke(ctx context.Context, id KeyID, reason string) (Key, error) {
	now := i.now()
	if len(reason) > maxReason {
		return Key{}, invalid("reason", "must have at most %d bytes", maxReason)
	}
	return i.Keys.UpdateKey(ctx, id, func(k *Key) error {
		if k.RevokedAt.IsZero() {
			k.RevokedAt, k.RevokedReason = now, strings.TrimSpace(reason)
		}
		return nil
	})
}

// Enable lets a key that was stopped be used again, and counts its overrun anew.
// A key that is not stopped stays as it is.
func (i Issuer) Enable(ctx context.Context, id KeyID, actor, reason string) (Key, error) {
	now := i.now()
	if len(reason) > maxReason {
		return Key{}, invalid("reason", "must have at most %d bytes", maxReason)
	}
	return i.Keys.UpdateKey(ctx, id, func(k *Key) error {
		if !k.RevokedAt.IsZero() {
			return &ConflictError{Detail: fmt.Sprintf("key %s is revoked, which is for good: make a new one", id)}
		}
		if !k.StoppedAt.IsZero() {
			k.StoppedAt, k.EnabledAt, k.EnabledBy, k.EnabledReason = time.Time{}, now, actor, strings.TrimSpace(reason)
		}
		return nil
	})
}

// EnsureProject finds a project by team and name, or makes what is missing of it.
func (i Issuer) EnsureProject(ctx context.Context, p Project) (Project, error) {
	if p.Name == "" {
		return Project{}, invalid("name", "must be plain text of 1 to %d bytes", maxName)
	}
	err := checkOwner(KeyRequest{Project: p.Name, Team: cmp.Or(p.Team, p.TeamID), CostCenter: p.CostCenter, Environment: p.Environment})
	if err != nil {
		return Project{}, err
	}
	return i.Owners.EnsureProject(ctx, p)
}

func (i Issuer) now() time.Time {
	if i.Clock == nil {
		return time.Now().UTC()
	}
	return i.Clock().UTC()
}

// project finds the owner of a key, or makes it.
func (i Issuer) project(ctx context.Context, r KeyRequest) (Project, error) {
	name := cmp.Or(r.Project, defaultProject)
	byID := strings.HasPrefix(name, "proj_")
	if name == defaultProject { // which is one of many: that of another team must not pay
		r.Team = cmp.Or(r.Team, defaultTeam)
	}
	want := Project{Name: name, Team: r.Team, CostCenter: r.CostCenter, Environment: r.Environment}
	all, err := i.Owners.ListProjects(ctx)
	if err != nil {
		return Project{}, err
	}
	var found []Project
	for _, p := range all {
		ofTeam := r.Team == "" || r.Team == p.TeamID || r.Team == p.Team
		if ofTeam && ((byID && p.ID == name) || (!byID && p.Name == name)) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 0 && byID:
		return Project{}, &NotFoundError{What: "project", ID: name}
	case len(found) > 1:
		return Project{}, invalid("team", "several teams have a project %q: say which", name)
	case len(found) == 1 && !found[0].ArchivedAt.IsZero():
		return Project{}, &ConflictError{Detail: fmt.Sprintf("project %q is archived", name)}
	case len(found) == 1:
		want.Name, want.TeamID, want.Team = found[0].Name, found[0].TeamID, ""
	default:
		want.Environment = cmp.Or(want.Environment, defaultEnvironment)
		want.Team = cmp.Or(want.Team, defaultTeam)
		if strings.HasPrefix(want.Team, "team_") {
			want.TeamID, want.Team = want.Team, ""
		}
	}
	return i.EnsureProject(ctx, want) // which judges the environment
}

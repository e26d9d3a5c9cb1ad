package billing

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Issuer makes and revokes virtual keys. The command line and the admin API
// both go through it, so that a key is the same thing wherever it came from.
type Issuer struct {
	Keys   Keys
	Owners Owners
	Pepper Pepper
	Clock  func() time.Time // nil is time.Now
}

// KeyRequest is what somebody asks a key to be. Project is an id ("proj_…") or
// a name; a name needs Team, and makes the team and the project where there are none.
type KeyRequest struct {
	Name        string
	Team        string // name
	Project     string // id or name
	CostCenter  string // for a team that is made by this request
	Environment string // prod, staging or dev; default: the project's, or dev for one that is made

	Models            []string
	AllowedCIDRs      []netip.Prefix
	RequestsPerMinute int64
	TokensPerMinute   int64
	AllowUnpriced     bool
	Budgets           []Budget // of the key; Scope and ScopeID are filled in
	ExpiresAt         time.Time
	Tags              map[string]string
	CreatedBy         string
}

// FieldError is a member of a request that cannot be meant.
type FieldError struct{ Field, Detail string }

// Error names the member.
func (e *FieldError) Error() string { return fmt.Sprintf("billing: %s: %s", e.Field, e.Detail) }

// What a key may carry.
const (
	longestName = 128
	mostTags    = 16
	longestTag  = 256
	mostModels  = 256
	mostCIDRs   = 256
)

// Issue makes a key and its secret. The secret is nowhere but in the answer.
func (i Issuer) Issue(ctx context.Context, req KeyRequest) (Key, Secret, error) {
	now := i.now()
	if err := req.check(now); err != nil {
		return Key{}, Secret{}, err
	}
	project, err := i.project(ctx, req)
	if err != nil {
		return Key{}, Secret{}, err
	}
	secret, err := NewSecret(project.Environment, rand.Reader)
	if err != nil {
		return Key{}, Secret{}, err
	}
	k := Key{
		ID: KeyID(NewID("key_")), Name: req.Name, Display: secret.Display(),
		ProjectID: project.ID, Project: project.Name, TeamID: project.TeamID, Team: project.Team,
		CostCenter: project.CostCenter, Environment: project.Environment,
		Models: req.Models, AllowedCIDRs: req.AllowedCIDRs,
		RequestsPerMinute: req.RequestsPerMinute, TokensPerMinute: req.TokensPerMinute,
		AllowUnpriced: req.AllowUnpriced, Tags: req.Tags,
		CreatedBy: req.CreatedBy, CreatedAt: now, ExpiresAt: req.ExpiresAt,
	}
	for _, b := range req.Budgets {
		b.ID, b.Scope, b.ScopeID = NewID("bud_"), ScopeKey, string(k.ID)
		k.Budgets = append(k.Budgets, b)
	}
	if err := i.Keys.CreateKey(ctx, k, secret.Hash(i.Pepper)); err != nil {
		return Key{}, Secret{}, err
	}
	// As stored: with the budgets of its project, team and organisation.
	stored, err := i.Find(ctx, k.ID)
	return stored, secret, err
}

// Find is the key with an id. *NotFoundError where there is none.
func (i Issuer) Find(ctx context.Context, id KeyID) (Key, error) {
	list, err := i.Keys.ListKeys(ctx, KeyFilter{ID: id, Limit: 1, Now: i.now()})
	if err != nil {
		return Key{}, err
	}
	if len(list) == 0 {
		return Key{}, &NotFoundError{What: "key", ID: string(id)}
	}
	return list[0], nil
}

// Revoke ends a key for good. The next request with it is refused, on every
// replica. Revoking it again changes nothing.
func (i Issuer) Revoke(ctx context.Context, id KeyID, reason string) (Key, error) {
	now := i.now()
	return i.Keys.UpdateKey(ctx, id, func(k *Key) error {
		if k.RevokedAt.IsZero() {
			k.RevokedAt, k.RevokedReason = now, reason
		}
		return nil
	})
}

func (i Issuer) now() time.Time {
	if i.Clock == nil {
		return time.Now().UTC()
	}
	return i.Clock()
}

// project finds the owner of a key, or makes it.
func (i Issuer) project(ctx context.Context, req KeyRequest) (Project, error) {
	if strings.HasPrefix(req.Project, "proj_") {
		list, err := i.Owners.ListProjects(ctx)
		if err != nil {
			return Project{}, err
		}
		for _, p := range list {
			if p.ID == req.Project {
				return p, sameEnvironment(p, req.Environment)
			}
		}
		return Project{}, &NotFoundError{What: "project", ID: req.Project}
	}
	want := Project{Name: req.Project, Team: req.Team, CostCenter: req.CostCenter, Environment: req.Environment}
	if want.Environment == "" {
		var err error
		if want.Environment, err = i.environment(ctx, req); err != nil {
			return Project{}, err
		}
	}
	return i.Owners.EnsureProject(ctx, want)
}

// environment is that of a project that exists, or dev.
func (i Issuer) environment(ctx context.Context, req KeyRequest) (string, error) {
	list, err := i.Owners.ListProjects(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range list {
		if p.Name == req.Project && (p.Team == req.Team || p.TeamID == req.Team) && p.ArchivedAt.IsZero() {
			return p.Environment, nil
		}
	}
	return "dev", nil
}

func sameEnvironment(p Project, want string) error {
	if want == "" || want == p.Environment {
		return nil
	}
	return &ConflictError{Detail: fmt.Sprintf("project %s is in %s, not in %s; make a project of its own for each environment", p.ID, p.Environment, want)}
}

// check finds what cannot be meant before anything is stored.
func (req KeyRequest) check(now time.Time) error {
	for _, rule := range []struct {
		broken        bool
		field, detail string
	}{
		{strings.TrimSpace(req.Name) == "" || len(req.Name) > longestName, "name", "want 1 to 128 characters"},
		{req.Project == "", "project", "want a project's id, or a name together with team"},
		{req.Team == "" && !strings.HasPrefix(req.Project, "proj_"), "team", "want the team that the project belongs to"},
		{len(req.Team) > longestName || len(req.Project) > longestName, "project", "want at most 128 characters"},
		{!knownEnvironment(req.Environment), "environment", "want prod, staging or dev"},
		{req.RequestsPerMinute < 0, "limits.requests_per_minute", "want 0 (no limit) or more"},
		{req.TokensPerMinute < 0, "limits.tokens_per_minute", "want 0 (no limit) or more"},
		{len(req.Models) > mostModels, "models", "want at most 256"},
		{len(req.AllowedCIDRs) > mostCIDRs, "allowed_cidrs", "want at most 256"},
		{!req.ExpiresAt.IsZero() && !req.ExpiresAt.After(now), "expires_at", "want an instant in the future"},
		{len(req.Tags) > mostTags, "tags", "want at most 16"},
		{longTag(req.Tags), "tags", "want at most 256 characters in each"},
	} {
		if rule.broken {
			return &FieldError{Field: rule.field, Detail: rule.detail}
		}
	}
	for n, b := range req.Budgets {
		b.ID, b.Scope, b.ScopeID = "bud_", ScopeKey, "key_"
		if err := b.Validate(); err != nil {
			return &FieldError{Field: fmt.Sprintf("budgets[%d]", n), Detail: strings.TrimPrefix(err.Error(), "billing: ")}
		}
	}
	return nil
}

func knownEnvironment(e string) bool {
	switch e {
	case "", "prod", "staging", "dev":
		return true
	}
	return false
}

func longTag(tags map[string]string) bool {
	for k, v := range tags {
		if len(k) > longestTag || len(v) > longestTag {
			return true
		}
	}
	return false
}

package manage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
)

// KeyRequest is a key that somebody asks for.
type KeyRequest struct {
	Name        string
	Project     string // name or id; "" is "default". Made if it is new.
	Team        string // name or id; "" is that of the project, or "default". Made if it is new.
	CostCenter  string // of a team that is new
	Environment string // "" is that of the project, or dev for one that is new

	Models            []string
	Budgets           []billing.Budget // their ids and scopes are filled in
	AllowedCIDRs      []netip.Prefix
	RequestsPerMinute int64
	TokensPerMinute   int64
	AllowUnpriced     bool
	// AllowProviderObjects is that of the key.
	AllowProviderObjects bool
	Tags                 map[string]string
	ExpiresAt            time.Time // zero: never
}

// CreateKey makes a key and its secret, which is stored nowhere.
func (a Actions) CreateKey(ctx context.Context, r KeyRequest, by By) (billing.Key, billing.Secret, error) {
	now := a.now()
	k := billing.Key{
		ID: billing.KeyID(billing.NewID("key_")), Name: strings.TrimSpace(r.Name), Models: r.Models, AllowedCIDRs: r.AllowedCIDRs,
		RequestsPerMinute: r.RequestsPerMinute, TokensPerMinute: r.TokensPerMinute, AllowUnpriced: r.AllowUnpriced,
		AllowProviderObjects: r.AllowProviderObjects,
		Tags:                 r.Tags, CreatedBy: by.Actor, CreatedAt: now, ExpiresAt: r.ExpiresAt,
	}
	SetBudgets(&k, r.Budgets)
	if err := errors.Join(a.check(&k), checkOwner(r), checkExpiry(k.ExpiresAt, now)); err != nil {
		return billing.Key{}, billing.Secret{}, err
	}
	p, err := a.project(ctx, r)
	if err != nil {
		return billing.Key{}, billing.Secret{}, err
	}
	secret, err := billing.NewSecret(p.Environment, rand.Reader)
	if err != nil {
		return billing.Key{}, billing.Secret{}, err
	}
	k.ProjectID, k.Project, k.TeamID, k.Team = p.ID, p.Name, p.TeamID, p.Team
	k.CostCenter, k.Environment, k.Display = p.CostCenter, p.Environment, secret.Display()
	if err := a.Store.CreateKey(ctx, k, secret.Hash(a.Pepper)); err != nil {
		return billing.Key{}, billing.Secret{}, err
	}
	// As stored, it also has the budgets of its owners. The secret must not be
	// lost for lack of them.
	if stored, err := a.Key(ctx, k.ID); err == nil {
		k = stored
	}
	return k, secret, nil
}

// Key is the key with an id.
func (a Actions) Key(ctx context.Context, id billing.KeyID) (billing.Key, error) {
	if id == "" {
		return billing.Key{}, &billing.NotFoundError{What: "key"}
	}
	list, err := a.Store.ListKeys(ctx, billing.KeyFilter{ID: id, Limit: 1, Now: a.now()})
	if err != nil {
		return billing.Key{}, err
	}
	if len(list) == 0 {
		return billing.Key{}, &billing.NotFoundError{What: "key", ID: string(id)}
	}
	return list[0], nil
}

// Statuses are what a key may be; InForce says more of each.
var statuses = []string{"active", "stopped", "expired", "revoked"}

// Keys are up to limit keys, in the order of their creation, and whether there are more.
func (a Actions) Keys(ctx context.Context, f billing.KeyFilter) (keys []billing.Key, more bool, err error) {
	if f.Status != "" && !slices.Contains(statuses, f.Status) {
		return nil, false, invalid("status", "must be active, stopped, expired or revoked")
	}
	f.Now = a.now()
	keys, err = a.Store.ListKeys(ctx, f)
	if err != nil || len(keys) == 0 || len(keys) < f.Limit {
		return keys, false, err
	}
	f.After, f.Limit = keys[len(keys)-1].ID, 1
	next, err := a.Store.ListKeys(ctx, f)
	return keys, len(next) > 0, err
}

// ChangeKey changes a key that is in force. change may run more than once.
func (a Actions) ChangeKey(ctx context.Context, id billing.KeyID, change func(*billing.Key)) (billing.Key, error) {
	return a.Store.UpdateKey(ctx, id, func(k *billing.Key) error {
		if err := notRevoked(k); err != nil {
			return err
		}
		expires := k.ExpiresAt
		change(k)
		k.Name = strings.TrimSpace(k.Name)
		if k.ExpiresAt.Equal(expires) {
			return a.check(k)
		}
		return errors.Join(a.check(k), checkExpiry(k.ExpiresAt, a.now()))
	})
}

func notRevoked(k *billing.Key) error {
	if k.RevokedAt.IsZero() {
		return nil
	}
	return &billing.ConflictError{Detail: fmt.Sprintf("key %s is revoked, which is for good: make a new one", k.ID)}
}

// RevokeKey ends a key for good. A key that is revoked already stays as it is.
func (a Actions) RevokeKey(ctx context.Context, id billing.KeyID, by By) (billing.Key, error) {
	now := a.now()
	if err := by.check(); err != nil {
		return billing.Key{}, err
	}
	return a.Store.UpdateKey(ctx, id, func(k *billing.Key) error {
		if k.RevokedAt.IsZero() {
			k.RevokedAt, k.RevokedReason = now, strings.TrimSpace(by.Reason)
		}
		return nil
	})
}

// EnableKey lets a key that was stopped be used again, and counts its overrun
// anew. A key that is not stopped stays as it is.
func (a Actions) EnableKey(ctx context.Context, id billing.KeyID, by By) (billing.Key, error) {
	now := a.now()
	if err := by.check(); err != nil {
		return billing.Key{}, err
	}
	return a.Store.UpdateKey(ctx, id, func(k *billing.Key) error {
		if err := notRevoked(k); err != nil {
			return err
		}
		if !k.StoppedAt.IsZero() {
			k.StoppedAt, k.EnabledAt, k.EnabledBy, k.EnabledReason = time.Time{}, now, by.Actor, strings.TrimSpace(by.Reason)
		}
		return nil
	})
}

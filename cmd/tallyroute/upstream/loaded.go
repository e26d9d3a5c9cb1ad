package upstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/providers/catalogue"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/envelope"
)

// Store is the part of the database that is read.
type Store interface {
	ListCredentials(ctx context.Context) ([]billing.Credential, error)
	ListProviders(ctx context.Context) ([]billing.StoredProvider, error)
	ProviderRevision(ctx context.Context) (int64, error)
}

// Loaded is what is stored, decrypted. It is immutable.
type Loaded struct {
	Revision    int64
	Next        time.Time        // when to reload because something starts or ends by itself; zero is never
	Unreadable  map[string]error // why credentials can't be decrypted, by PROVIDER/NAME
	Held        map[string]error // likewise for those that were decrypted earlier and stay in use
	providers   []catalogue.Stored
	credentials map[string][]catalogue.Credential
	secrets     map[string]secret.Value // by reference
}

// Load reads what is stored. Whatever can't be decrypted now, but could be before, stays as
// it was: a key may be temporarily unavailable.
func Load(ctx context.Context, from Store, ring *envelope.Ring, before *Loaded, now time.Time) (*Loaded, error) {
	revision, err := from.ProviderRevision(ctx) // first, so that later changes show up as a newer revision
	if err != nil {
		return nil, err
	}
	credentials, err := from.ListCredentials(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := from.ListProviders(ctx)
	if err != nil {
		return nil, err
	}
	l := opened(credentials, ring, before, now)
	l.Revision = revision
	for _, p := range stored {
		l.providers = append(l.providers, catalogue.Stored{Name: p.Name, Text: p.Document})
	}
	return l, nil
}

// opened returns the credentials that calls can be made with.
func opened(credentials []billing.Credential, ring *envelope.Ring, before *Loaded, now time.Time) *Loaded {
	l := &Loaded{
		Unreadable: map[string]error{}, Held: map[string]error{}, credentials: map[string][]catalogue.Credential{},
		secrets: map[string]secret.Value{},
	}
	for _, c := range credentials {
		if !c.InForce(now) {
			continue
		}
		l.until(c.ExpiresAt)
		for i, v := range c.Versions {
			if !v.EndsAt.IsZero() && !v.EndsAt.After(now) {
				continue
			}
			l.until(v.EndsAt)
			ref := fmt.Sprintf("%s%s@%d", catalogue.StoredPrefix, c.ID, v.Number)
			text, err := ring.Open(v.Sealed, manage.AboutCredential(c.ID, v.Number))
			if err == nil {
				l.secrets[ref] = secret.New(text)
			} else if kept, ok := before.kept(ref); ok {
				l.secrets[ref] = kept
				l.Held[c.Provider+"/"+manage.NameInLedger(c, v)] = err
			} else {
				l.Unreadable[c.Provider+"/"+manage.NameInLedger(c, v)] = err
				continue
			}
			l.credentials[c.Provider] = append(l.credentials[c.Provider], catalogue.Credential{
				Name: manage.NameInLedger(c, v), Owner: c.Owner, Secret: ref, Weight: c.Weight, Spare: i > 0,
			})
		}
	}
	return l
}

// Empty reports whether nothing is in force.
func (l *Loaded) Empty() bool { return len(l.providers)+len(l.credentials)+len(l.Unreadable) == 0 }

// Opened reports whether the credential PROVIDER/NAME is in force and decrypted.
func (l *Loaded) Opened(name string) bool {
	provider, name, _ := strings.Cut(name, "/")
	return slices.ContainsFunc(l.credentials[provider], func(c catalogue.Credential) bool { return c.Name == name })
}

// Stale returns a copy of l that is due for a reload.
func (l *Loaded) Stale() *Loaded {
	stale := *l
	stale.Revision = -1
	return &stale
}

// until schedules a reload of l at an instant, unless that is zero.
func (l *Loaded) until(t time.Time) {
	if !t.IsZero() && (l.Next.IsZero() || t.Before(l.Next)) {
		l.Next = t
	}
}

func (l *Loaded) kept(ref string) (v secret.Value, ok bool) {
	if l == nil {
		return v, false
	}
	v, ok = l.secrets[ref]
	return v, ok
}

// errUnstored means that a reference names a credential that isn't stored.
var errUnstored = errors.New("secret: no credential is stored for it: tallyroute credentials add")

// Resolve resolves stored credentials, and passes other references to next.
func (l *Loaded) Resolve(next Resolver) Resolver {
	return func(ctx context.Context, ref string) (secret.Value, error) {
		if !strings.HasPrefix(ref, catalogue.StoredPrefix) {
			return next(ctx, ref)
		}
		if v, ok := l.kept(ref); ok {
			return v, nil
		}
		return secret.Value{}, errUnstored
	}
}

// Resolver resolves a reference to a secret.
type Resolver func(ctx context.Context, ref string) (secret.Value, error)

// Build is catalogue.Build with what is stored; l may be nil. A stored provider that has a
// fault is left out and reported in broken, by name.
func (l *Loaded) Build(ctx context.Context, in catalogue.Input, o catalogue.Options) (c *catalogue.Catalogue, broken map[string]error,
	err error,
) {
	resolve := o.Secrets
	if resolve == nil {
		resolve = secret.Resolve
	}
	o.Secrets = l.Resolve(resolve)
	if l != nil {
		in.Stored, in.Credentials = slices.Clone(l.providers), l.credentials
	}
	broken = map[string]error{}
	for {
		c, err = catalogue.Build(ctx, in, o)
		var faults catalogue.Faults
		if !errors.As(err, &faults) || len(in.Stored) == 0 {
			return c, broken, err
		}
		found := maps.Clone(broken)
		in.Stored = slices.DeleteFunc(in.Stored, func(s catalogue.Stored) bool {
			own := faults.FaultsOf(s.Name)
			if len(own) > 0 {
				broken[s.Name] = own
			}
			return len(own) > 0
		})
		if len(broken) == len(found) { // the fault can't be attributed to any of them
			for _, s := range in.Stored {
				broken[s.Name] = err
			}
			in.Stored = nil
		}
	}
}

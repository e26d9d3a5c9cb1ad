package manage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/governance"
)

// Upstreams gives access to the providers of a router: its catalogue, its encryption keys,
// and calls to providers.
type Upstreams interface {
	// Seal encrypts a secret and binds it to what about names. Rekey encrypts it again with
	// the current key; changed is false if it already is.
	Seal(ctx context.Context, secret, about string) ([]byte, error)
	Rekey(ctx context.Context, sealed []byte, about string) (under []byte, changed bool, err error)
	// Takes refuses a secret that a provider can't be called with.
	Takes(ctx context.Context, provider, secret string) error
	// Check refuses a provider that the router couldn't add to the others.
	Check(ctx context.Context, p billing.StoredProvider) error
	// Providers returns all known providers, and Configured the credentials that come from
	// the configuration.
	Providers(ctx context.Context) ([]ProviderStatus, error)
	Configured(ctx context.Context) ([]ConfiguredCredential, error)
	// Try calls a provider with a credential, identified by its name in the ledger.
	Try(ctx context.Context, provider, credential string) (Trial, error)
	// Make has a provider create a secret, and Unmake has it revoke one that it created.
	Make(ctx context.Context, provider, name string) (secret, remoteID string, err error)
	Unmake(ctx context.Context, provider, remoteID string) error
}

// ConfiguredCredential is a credential that the configuration refers to.
type ConfiguredCredential struct {
	Provider, Name, Owner string
	Refers                string // where it is
	Weight                int
	Why                   string // why it isn't there
}

// Trial is the provider's response to a call with a credential.
type Trial struct {
	Provider   string `json:"provider"`
	Credential string `json:"credential"`
	Model      string `json:"model" doc:"The model that was asked for one token."`
	OK         bool   `json:"ok"`
	Kind       string `json:"kind,omitempty" doc:"The kind of failure: credential, quota, rate_limit, network and others."`
	Status     int    `json:"status,omitempty" doc:"The HTTP status of a failure, if the provider answered."`
	Message    string `json:"message,omitempty" doc:"What the provider said, without secrets."`
	TookMS     int64  `json:"took_ms"`
	Tokens     int64  `json:"tokens" doc:"The tokens that the provider counted and may bill. They are not in the ledger."`
}

// CredentialRequest is a credential to be stored. Its secret is either given or created by
// the provider.
type CredentialRequest struct {
	Provider  string
	Name      string
	Owner     string
	Weight    int
	Secret    string // "" has the provider create one
	ExpiresAt time.Time
}

// CredentialChange says what to change about a credential; nil leaves it.
type CredentialChange struct {
	Owner     *string
	Weight    *int
	ExpiresAt *time.Time
}

// CredentialRotation gives a credential a new secret.
type CredentialRotation struct {
	Secret    string // "" has the provider create one
	Overlap   time.Duration
	ExpiresAt time.Time
}

// Limits on credentials.
const (
	maxSecret       = 64 << 10
	maxCredentials  = 50 // per provider
	maxWeight       = 1000
	longestOverlap  = 90 * 24 * time.Hour
	credentialStore = "credential"
)

var (
	credentialName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	numberAlone    = regexp.MustCompile(`^[0-9]+$`)
)

// ErrNoUpstreams is returned for actions on providers when nothing is known about any.
var ErrNoUpstreams = errors.New("manage: nothing is known of providers here")

func (a Actions) upstreams() (Upstreams, error) {
	if a.Upstreams == nil {
		return nil, ErrNoUpstreams
	}
	return a.Upstreams, nil
}

// AboutCredential returns what a credential's secret is bound to when it is encrypted.
func AboutCredential(id string, number int) string {
	return fmt.Sprintf("credential %s@%d", id, number)
}

// Credential returns the stored credential with the given id, or name as PROVIDER/NAME.
func (a Actions) Credential(ctx context.Context, ref string) (billing.Credential, error) {
	all, err := a.Store.ListCredentials(ctx)
	if err != nil {
		return billing.Credential{}, err
	}
	for _, c := range all {
		if c.ID == ref || c.Provider+"/"+c.Name == ref {
			return c, nil
		}
	}
	return billing.Credential{}, &billing.NotFoundError{What: credentialStore, ID: ref}
}

// AddCredential stores a credential of a provider.
func (a Actions) AddCredential(ctx context.Context, r CredentialRequest, by By) (billing.Credential, error) {
	up, err := a.upstreams()
	if err != nil {
		return billing.Credential{}, err
	}
	now := a.now()
	c := billing.Credential{
		ID: billing.NewID("cred_"), Provider: r.Provider, Name: strings.TrimSpace(r.Name), Owner: strings.TrimSpace(r.Owner),
		Weight:    r.Weight,
		CreatedAt: now, CreatedBy: by.Actor, ExpiresAt: r.ExpiresAt,
	}
	if err := errors.Join(checkCredential(c), checkExpiry(r.ExpiresAt, now), by.check()); err != nil {
		return billing.Credential{}, err
	}
	all, err := a.Store.ListCredentials(ctx)
	if err != nil {
		return billing.Credential{}, err
	}
	of := 0
	for _, other := range all {
		if other.Provider == c.Provider {
			of++
		}
		if other.Provider == c.Provider && other.Name == c.Name {
			return billing.Credential{}, &billing.ConflictError{Detail: "there is another credential " + c.Provider + "/" + c.Name}
		}
	}
	if of >= maxCredentials {
		return billing.Credential{}, &billing.ConflictError{Detail: "the provider has 50 credentials: no more than that can be kept"}
	}
	if err := a.storedLawful(ctx, up, c.Provider); err != nil {
		return billing.Credential{}, err
	}
	v, err := a.version(ctx, up, c, r.Secret, 1)
	if err != nil {
		return billing.Credential{}, err
	}
	c.Versions = []billing.CredentialVersion{v}
	note := a.note(by, "credential.create", c.ID)
	note.Detail = map[string]string{"provider": c.Provider, "name": c.Name, "weight": fmt.Sprint(c.Weight)}
	return c, a.Store.CreateCredential(ctx, c, note)
}

// storedLawful refuses to store a credential where the organisation's rules want those of the
// provider to come from elsewhere.
func (a Actions) storedLawful(ctx context.Context, up Upstreams, provider string) error {
	rules, _, err := a.rules(ctx)
	if err != nil || rules == nil {
		return err
	}
	all, err := up.Providers(ctx)
	if err != nil {
		return err
	}
	s := governance.Secret{Setting: "providers." + provider, Source: governance.Stored}
	for _, p := range all {
		if p.Name == provider {
			s.Environments = p.Environments
		}
	}
	return governance.Refusal(rules.OfSecret(s))
}

// checkCredential refuses an invalid credential.
func checkCredential(c billing.Credential) error {
	var faults []error
	if !credentialName.MatchString(c.Name) || numberAlone.MatchString(c.Name) {
		faults = append(faults, invalid("name", "must be 1 to 64 letters, digits, -, _ and ., and not a number alone"))
	}
	if !isAddress(c.Owner) {
		faults = append(faults, invalid("owner", "must be an address such as ann@example.com"))
	}
	if c.Weight < 0 || c.Weight > maxWeight {
		faults = append(faults, invalid("weight", "must be from 0 to %d", maxWeight))
	}
	return errors.Join(faults...)
}

// version encrypts a secret that was given or that the provider creates.
func (a Actions) version(ctx context.Context, up Upstreams, c billing.Credential, secret string, number int) (v billing.CredentialVersion,
	err error,
) {
	v = billing.CredentialVersion{Number: number, CreatedAt: a.now()}
	if err := canSeal(ctx, up); err != nil { // before the provider creates anything
		return v, err
	}
	if secret = strings.TrimSpace(secret); secret == "" {
		if secret, v.RemoteID, err = up.Make(ctx, c.Provider, fmt.Sprintf("tallyroute %s %d", c.Name, number)); err != nil {
			return v, err
		}
	}
	if err := a.fits(ctx, up, c.Provider, secret); err != nil {
		return v, err
	}
	v.Sealed, err = up.Seal(ctx, secret, AboutCredential(c.ID, number))
	return v, err
}

// canSeal returns why nothing can be encrypted, if that is so.
func canSeal(ctx context.Context, up Upstreams) error {
	if _, err := up.Seal(ctx, "nothing", "a try"); err != nil {
		return &billing.ConflictError{Detail: strings.TrimPrefix(err.Error(), "envelope: ")}
	}
	return nil
}

func (a Actions) fits(ctx context.Context, up Upstreams, provider, secret string) error {
	if len(secret) > maxSecret {
		return invalid("secret", "must be at most %d bytes", maxSecret)
	}
	if _, err := billing.ParseSecret(secret); err == nil {
		return invalid("secret", "is a key of Tallyroute, where the provider's own belongs")
	}
	return up.Takes(ctx, provider, secret)
}

// ChangeCredential changes a credential's owner, its share of calls, and its expiry.
func (a Actions) ChangeCredential(ctx context.Context, ref string, r CredentialChange, by By) (billing.Credential, error) {
	return a.updateCredential(ctx, ref, "credential.change", by, func(c *billing.Credential, note *billing.Change) error {
		if r.Owner != nil {
			c.Owner, note.Detail["owner"] = strings.TrimSpace(*r.Owner), *r.Owner
		}
		if r.Weight != nil {
			c.Weight, note.Detail["weight"] = *r.Weight, fmt.Sprint(*r.Weight)
		}
		if r.ExpiresAt != nil {
			if err := checkExpiry(*r.ExpiresAt, a.now()); err != nil {
				return err
			}
			c.ExpiresAt, note.Detail["expires_at"] = *r.ExpiresAt, r.ExpiresAt.Format(time.RFC3339)
		}
		return checkCredential(*c)
	})
}

// updateCredential changes a credential and notes the change.
func (a Actions) updateCredential(
	ctx context.Context, ref, action string, by By, change func(*billing.Credential, *billing.Change) error,
) (billing.Credential, error) {
	if err := by.check(); err != nil {
		return billing.Credential{}, err
	}
	c, err := a.Credential(ctx, ref)
	if err != nil {
		return billing.Credential{}, err
	}
	note := a.note(by, action, c.ID)
	note.Detail = map[string]string{"provider": c.Provider, "name": c.Name}
	return a.Store.UpdateCredential(ctx, c.ID, func(c *billing.Credential) error { return change(c, note) }, note)
}

// RotateCredential gives a credential a new secret. The old one stays in reserve until the
// overlap ends: it is used for calls if the new one is refused.
func (a Actions) RotateCredential(ctx context.Context, ref string, r CredentialRotation, by By) (billing.Credential, error) {
	up, err := a.upstreams()
	if err != nil {
		return billing.Credential{}, err
	}
	now := a.now()
	if r.Overlap < 0 || r.Overlap > longestOverlap {
		return billing.Credential{}, invalid("overlap", "must be from 0s to 90d")
	}
	c, err := a.Credential(ctx, ref)
	if err == nil {
		err = errors.Join(checkExpiry(r.ExpiresAt, now), by.check())
	}
	if err != nil {
		return billing.Credential{}, err
	}
	last := c.Versions[0].Number
	v, err := a.version(ctx, up, c, r.Secret, last+1)
	if err != nil {
		return billing.Credential{}, err
	}
	return a.updateCredential(ctx, c.ID, "credential.rotate", by, func(c *billing.Credential, note *billing.Change) error {
		if len(c.Versions) == 0 || c.Versions[0].Number != last {
			return &billing.ConflictError{Detail: "the credential was rotated by somebody else in the meantime"}
		}
		for i := range c.Versions {
			if ends := c.Versions[i].EndsAt; i > 0 && (ends.IsZero() || ends.After(now)) {
				c.Versions[i].EndsAt = now // at most two are valid
			}
		}
		c.Versions[0].EndsAt = now.Add(r.Overlap)
		c.Versions = slices.Insert(c.Versions, 0, v)
		c.ExpiresAt = r.ExpiresAt
		note.Detail["version"], note.Detail["overlap"] = fmt.Sprint(v.Number), r.Overlap.String()
		return nil
	})
}

// DisableCredential stops calls with a credential until it is enabled.
func (a Actions) DisableCredential(ctx context.Context, ref string, by By) (billing.Credential, error) {
	return a.updateCredential(ctx, ref, "credential.disable", by, func(c *billing.Credential, _ *billing.Change) error {
		if c.DisabledAt.IsZero() {
			c.DisabledAt = a.now()
		}
		return nil
	})
}

// EnableCredential allows calls with a disabled credential again.
func (a Actions) EnableCredential(ctx context.Context, ref string, by By) (billing.Credential, error) {
	return a.updateCredential(ctx, ref, "credential.enable", by, func(c *billing.Credential, _ *billing.Change) error {
		c.DisabledAt = time.Time{}
		return nil
	})
}

// RemoveCredential destroys a credential. Secrets that its provider created for it are
// revoked there.
func (a Actions) RemoveCredential(ctx context.Context, ref string, by By) error {
	c, err := a.Credential(ctx, ref)
	if err == nil {
		err = by.check()
	}
	if err != nil {
		return err
	}
	note := a.note(by, "credential.remove", c.ID)
	note.Detail = map[string]string{"provider": c.Provider, "name": c.Name}
	for _, v := range c.Versions {
		if by.DryRun {
			break // a change at the provider can't be rolled back
		}
		if err := a.unmake(ctx, c.Provider, v); err != nil {
			return err
		}
	}
	return a.Store.DeleteCredential(ctx, c.ID, note)
}

func (a Actions) unmake(ctx context.Context, provider string, v billing.CredentialVersion) error {
	if v.RemoteID == "" {
		return nil
	}
	up, err := a.upstreams()
	if err != nil {
		return err
	}
	return up.Unmake(ctx, provider, v.RemoteID)
}

// EndVersions destroys secrets whose overlap is over, and has their providers revoke those
// that they created. It returns how many.
func (a Actions) EndVersions(ctx context.Context) (n int, err error) {
	all, err := a.Store.ListCredentials(ctx)
	if err != nil {
		return 0, err
	}
	now := a.now()
	for _, c := range all {
		for _, v := range c.Versions {
			if v.EndsAt.IsZero() || v.EndsAt.After(now) {
				continue
			}
			if failed := a.endVersion(ctx, c, v); failed != nil {
				err = errors.Join(err, failed)
				continue
			}
			n++
		}
	}
	return n, err
}

func (a Actions) endVersion(ctx context.Context, c billing.Credential, v billing.CredentialVersion) error {
	if err := a.unmake(ctx, c.Provider, v); err != nil {
		return fmt.Errorf("%s/%s: %w", c.Provider, c.Name, err)
	}
	note := a.note(By{Actor: "tallyroute"}, "credential.version_end", c.ID)
	note.Detail = map[string]string{"provider": c.Provider, "name": c.Name, "version": fmt.Sprint(v.Number)}
	_, err := a.Store.UpdateCredential(ctx, c.ID, func(c *billing.Credential) error {
		there := len(c.Versions)
		c.Versions = slices.DeleteFunc(c.Versions, func(o billing.CredentialVersion) bool { return o.Number == v.Number })
		if len(c.Versions) == there {
			return errEnded
		}
		return nil
	}, note)
	if errors.Is(err, errEnded) || missing(err) {
		return nil // done by another router
	}
	return err
}

var errEnded = errors.New("manage: the version has ended")

func missing(err error) bool {
	var none *billing.NotFoundError
	return errors.As(err, &none)
}

// TestCredential calls a credential's provider with it.
func (a Actions) TestCredential(ctx context.Context, ref string, by By) (Trial, error) {
	up, err := a.upstreams()
	if err != nil {
		return Trial{}, err
	}
	provider, name, _ := strings.Cut(ref, "/")
	object := ref
	c, err := a.Credential(ctx, ref)
	switch {
	case err == nil:
		provider, name, object = c.Provider, NameInLedger(c, c.Versions[0]), c.ID
	case !missing(err):
		return Trial{}, err
	default:
		if err := a.configured(ctx, up, provider, name); err != nil {
			return Trial{}, err
		}
	}
	t, err := up.Try(ctx, provider, name)
	if err != nil {
		return Trial{}, err
	}
	note := a.note(by, "credential.test", object)
	note.Detail = map[string]string{"provider": provider, "name": name, "ok": fmt.Sprint(t.OK), "kind": cmp.Or(t.Kind, "none")}
	return t, a.Store.Record(ctx, note)
}

// configured looks up a credential in the configuration.
func (a Actions) configured(ctx context.Context, up Upstreams, provider, name string) error {
	all, err := up.Configured(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Provider == provider && c.Name == name {
			return nil
		}
	}
	return &billing.NotFoundError{What: credentialStore, ID: strings.TrimSuffix(provider+"/"+name, "/")}
}

// NameInLedger returns the name of a credential's version in ledger rows and in the health
// status.
func NameInLedger(c billing.Credential, v billing.CredentialVersion) string {
	return fmt.Sprintf("%s@%d", c.Name, v.Number)
}

package billing

import (
	"context"
	"time"
)

// Credential is one of ours at a provider that an administrator has stored.
type Credential struct {
	ID         string // cred_…
	Provider   string
	Name       string // unlike that of any other of the provider
	Owner      string // the address of who answers for it
	Weight     int    // the share of calls that it takes; 0 takes none
	CreatedAt  time.Time
	CreatedBy  string
	ExpiresAt  time.Time // zero: never, as far as is known
	DisabledAt time.Time
	Versions   []CredentialVersion // the last one first; during an overlap there are two
}

// InForce reports whether calls may be made with it at an instant.
func (c *Credential) InForce(now time.Time) bool {
	return c.DisabledAt.IsZero() && (c.ExpiresAt.IsZero() || now.Before(c.ExpiresAt))
}

// CredentialVersion is a secret of a credential.
type CredentialVersion struct {
	Number    int
	Sealed    []byte // the secret, under a key that is not in the database
	RemoteID  string // by which the provider knows one that it has made
	CreatedAt time.Time
	EndsAt    time.Time // of one that was replaced
}

// CredentialUse is when a credential was last used, and when that last failed.
type CredentialUse struct {
	Provider   string
	Credential string // as rows of the ledger name it; "" is the only one of the provider
	UsedAt     time.Time
	FailedAt   time.Time
	Failure    string // the kind of the last failure
}

// Later is the later of two uses of one credential.
func (u CredentialUse) Later(v CredentialUse) CredentialUse {
	if v.UsedAt.After(u.UsedAt) {
		u.UsedAt = v.UsedAt
	}
	if v.FailedAt.After(u.FailedAt) {
		u.FailedAt, u.Failure = v.FailedAt, v.Failure
	}
	return u
}

// StoredProvider is a provider that an administrator has described.
type StoredProvider struct {
	Name      string
	Document  string // as the configuration would have it; it refers to no secrets
	UpdatedAt time.Time
	UpdatedBy string
}

// Credentials keeps those that administrators have stored.
type Credentials interface {
	// ListCredentials is ordered by provider and name.
	ListCredentials(ctx context.Context) ([]Credential, error)
	// CreateCredential stores a credential with its versions. A name that another one of
	// the provider has is a *ConflictError.
	CreateCredential(ctx context.Context, c Credential, notes ...*Change) error
	// UpdateCredential changes a credential in one transaction. Versions that change adds
	// are stored, and those that it takes out are destroyed. *NotFoundError for an unknown id.
	UpdateCredential(ctx context.Context, id string, change func(*Credential) error, notes ...*Change) (Credential, error)
	// DeleteCredential destroys a credential. *NotFoundError for an unknown id.
	DeleteCredential(ctx context.Context, id string, notes ...*Change) error
	// UseCredentials stores when credentials were used, unless a later use is known.
	UseCredentials(ctx context.Context, uses []CredentialUse) error
	CredentialUses(ctx context.Context) ([]CredentialUse, error)
}

// StoredProviders keeps providers that administrators have described.
type StoredProviders interface {
	// ListProviders is ordered by name.
	ListProviders(ctx context.Context) ([]StoredProvider, error)
	// PutProvider stores a provider in place of the one with its name.
	PutProvider(ctx context.Context, p StoredProvider, notes ...*Change) error
	// DeleteProvider is a *NotFoundError for an unknown name.
	DeleteProvider(ctx context.Context, name string, notes ...*Change) error
	// ProviderRevision is another number after every change of a credential or a provider.
	ProviderRevision(ctx context.Context) (int64, error)
}

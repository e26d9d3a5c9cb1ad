package billing

import (
	"context"
	"time"
)

// Credential is one of our provider credentials, stored by an administrator.
type Credential struct {
	ID         string // cred_…
	Provider   string
	Name       string // unique within the provider
	Owner      string // the address of the person responsible for it
	Weight     int    // the share of calls that it takes; 0 means none
	CreatedAt  time.Time
	CreatedBy  string
	ExpiresAt  time.Time // zero: never, as far as is known
	DisabledAt time.Time
	Versions   []CredentialVersion // newest first; during an overlap there are two
}

// InForce reports whether calls may be made with the credential at an instant.
func (c *Credential) InForce(now time.Time) bool {
	return c.DisabledAt.IsZero() && (c.ExpiresAt.IsZero() || now.Before(c.ExpiresAt))
}

// CredentialVersion is a secret of a credential.
type CredentialVersion struct {
	Number    int
	Sealed    []byte // the secret, encrypted under a key that is not in the database
	RemoteID  string // the provider's id for a secret that the provider created
	CreatedAt time.Time
	EndsAt    time.Time // of a version that was replaced
}

// CredentialUse is when a credential was last used, and when that last failed.
type CredentialUse struct {
	Provider   string
	Credential string // as rows of the ledger name it; "" is the provider's only one
	UsedAt     time.Time
	FailedAt   time.Time
	Failure    string // the kind of the last failure
}

// Later returns the later of two uses of one credential.
func (u CredentialUse) Later(v CredentialUse) CredentialUse {
	if v.UsedAt.After(u.UsedAt) {
		u.UsedAt = v.UsedAt
	}
	if v.FailedAt.After(u.FailedAt) {
		u.FailedAt, u.Failure = v.FailedAt, v.Failure
	}
	return u
}

// StoredProvider is a provider defined by an administrator.
type StoredProvider struct {
	Name      string
	Document  string // in the form of the configuration; it refers to no secrets
	UpdatedAt time.Time
	UpdatedBy string
}

// Credentials stores the credentials that administrators enter.
type Credentials interface {
	// ListCredentials lists credentials ordered by provider and name.
	ListCredentials(ctx context.Context) ([]Credential, error)
	// CreateCredential stores a credential with its versions. A name that another
	// credential of the provider has is a *ConflictError.
	CreateCredential(ctx context.Context, c Credential, notes ...*Change) error
	// UpdateCredential changes a credential in one transaction. Versions that change
	// adds are stored, and those that it removes are destroyed. It returns
	// *NotFoundError for an unknown id.
	UpdateCredential(ctx context.Context, id string, change func(*Credential) error, notes ...*Change) (Credential, error)
	// DeleteCredential destroys a credential. It returns *NotFoundError for an unknown
	// id.
	DeleteCredential(ctx context.Context, id string, notes ...*Change) error
	// UseCredentials stores when credentials were used, unless a later use is already
	// stored.
	UseCredentials(ctx context.Context, uses []CredentialUse) error
	CredentialUses(ctx context.Context) ([]CredentialUse, error)
}

// StoredProviders stores the providers that administrators define.
type StoredProviders interface {
	// ListProviders lists providers ordered by name.
	ListProviders(ctx context.Context) ([]StoredProvider, error)
	// PutProvider stores a provider, replacing any with the same name.
	PutProvider(ctx context.Context, p StoredProvider, notes ...*Change) error
	// DeleteProvider deletes a provider. It returns *NotFoundError for an unknown name.
	DeleteProvider(ctx context.Context, name string, notes ...*Change) error
	// ProviderRevision returns a number that differs after every change of a credential
	// or a provider.
	ProviderRevision(ctx context.Context) (int64, error)
}

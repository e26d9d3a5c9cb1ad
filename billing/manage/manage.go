// Package manage is what operators can do: one function per action, called by
// the command line, by REST and by whatever else administers a router.
//
// An action takes what is asked for and who asks (By), applies the rules that
// hold whoever asks, and returns what there is afterwards. Refusals are
// *billing.FieldError (joined where there are several faults),
// *billing.NotFoundError and *billing.ConflictError. The views are the one JSON
// form of keys, budgets, owners and the ledger's books.
package manage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/audit"
	"tallyroute/billing/governance"
	"tallyroute/billing/policy"
	"tallyroute/billing/rbac"
)

// Actions are what operators can do to one ledger. Store is required, but for its
// holds, its leases and what is kept for clients; Pepper for making keys.
type Actions struct {
	Store  billing.Store
	Pepper billing.Pepper
	// KnownModel reports whether a key may be limited to name, and if not, what
	// is near. Nil accepts every name.
	KnownModel func(name string) (nearest string, known bool)
	// Groups are the groups of models that keys and policies may name. Nil knows none, and
	// accepts every name.
	Groups func() policy.Groups
	// SinkNames are where secrets may be delivered to.
	SinkNames []string
	// SecretSources are where credentials may come from; nil knows none, and accepts all.
	SecretSources []string
	// Setup is what the organisation's rules ask of the configuration; nil judges none.
	Setup func() governance.Setup
	// Notifiers are the channels that alerts go to. Nil is none.
	Notifiers func(context.Context) (map[string]Notifier, error)
	// Upstreams are for what is done with providers and their credentials.
	Upstreams Upstreams
	Roles     rbac.Roles        // nil are those that are built in
	AuditKey  *audit.SigningKey // that signs checkpoints; nil is none
	// SessionIdle is how long a login may be unused; 0 is an hour.
	SessionIdle time.Duration
	Clock       func() time.Time // nil is time.Now
}

// By is who does something, from where, in which role, and why.
type By struct {
	Actor  string
	Role   string // "" for the static token and for the host itself
	Source string // an address or a host
	Reason string
	// Seen is the tag of what is to be changed as it was when that was decided: another one
	// refuses the change. "" is any. Keys have versions instead.
	Seen string
	// PrincipalID is of a person or a service; "" for the static token and for the host.
	PrincipalID string
	Address     string // likewise, for mail
	// Access is what he may do. Who is let in decides; of actions, only those that give
	// access to others ask.
	Access rbac.Access
}

func (a Actions) now() time.Time {
	if a.Clock == nil {
		return time.Now().UTC()
	}
	return a.Clock().UTC()
}

func (a Actions) groups() policy.Groups {
	if a.Groups == nil {
		return nil
	}
	return a.Groups()
}

// Tag names the state of something by how it is shown: what is shown otherwise has another.
func Tag[V any](view V) string {
	text, err := json.Marshal(view)
	if err != nil {
		return "" // not reached: views have a JSON form
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

// saw refuses a change that was decided from another state than the one that is shown so.
func saw[V any](by By, view V) error {
	if by.Seen == "" || by.Seen == Tag(view) {
		return nil
	}
	return ErrVersion
}

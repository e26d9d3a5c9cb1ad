// Package manage is what operators can do: one function per action, called by the command
// line, by REST and by anything else that administers a router.
//
// An action takes what is requested and who requests it (By), applies the rules that hold
// for every caller, and returns the new state. Refusals are *billing.FieldError (joined if
// there are several faults), *billing.NotFoundError and *billing.ConflictError. The views
// are the single JSON form of keys, budgets, owners and the ledger's books.
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

// Actions are what operators can do to one ledger. Store is required, except for its holds,
// its leases and what is kept for clients; Pepper is required for making keys.
type Actions struct {
	Store  billing.Store
	Pepper billing.Pepper
	// KnownModel reports whether a key may be limited to name and, if not, the closest
	// known name. Nil accepts every name.
	KnownModel func(name string) (nearest string, known bool)
	// Groups returns the groups of models that keys and policies may name. Nil knows none,
	// and accepts every name.
	Groups func() policy.Groups
	// SinkNames are the places that secrets may be delivered to.
	SinkNames []string
	// SecretSources are the places that credentials may come from; nil accepts all.
	SecretSources []string
	// Setup returns the facts about the configuration that the organisation's rules check;
	// nil checks none.
	Setup func() governance.Setup
	// Notifiers returns the channels that alerts go to; nil is none.
	Notifiers func(context.Context) (map[string]Notifier, error)
	// Upstreams is needed for actions on providers and their credentials.
	Upstreams Upstreams
	Roles     rbac.Roles        // nil has the built-in ones
	AuditKey  *audit.SigningKey // signs checkpoints; nil signs none
	// SessionIdle is how long a login may be idle; 0 is an hour.
	SessionIdle time.Duration
	Clock       func() time.Time // nil is time.Now
	// Late is how long routers may take to learn of a change and to write down what they
	// did before it. Incidents wait that long.
	Late time.Duration
}

// Late is Actions.Late for deployments with routers: they learn of changes within a second,
// and write every second.
const Late = 2500 * time.Millisecond

// By says who does something, from where, in which role, and why.
type By struct {
	Actor  string
	Role   string // "" for the static token and for the host itself
	Source string // an address or a host
	Reason string
	// Seen is the tag of the object that the change is based on: if the object's tag is
	// different, the change is refused. "" is any. Keys have versions instead.
	Seen string
	// Claim is the claim of a request that its sender may retry, otherwise nil. The last
	// change of the request carries it.
	Claim *billing.ChangeClaim
	// DryRun rolls the change back once it has passed every check; the action then returns
	// *billing.Rehearsed. If nothing would change, it returns no error.
	DryRun bool
	// PrincipalID identifies a person or a service; "" for the static token and for the
	// host.
	PrincipalID string
	Address     string // likewise, for mail
	// Access is what the caller may do. It is usually checked before an action is called;
	// of the actions, only those that give access to others check it.
	Access rbac.Access
}

// step returns by without the claim, for a change that is not the last one of its request.
func (by By) step() By {
	by.Claim = nil
	return by
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

// Tag identifies the state of an object by its JSON form: a different form has a different
// tag.
func Tag[V any](view V) string {
	text, err := json.Marshal(view)
	if err != nil {
		return "" // unreachable: views can be encoded
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

// saw refuses a change that was based on a state other than the current one.
func saw[V any](by By, view V) error {
	if by.Seen == "" || by.Seen == Tag(view) {
		return nil
	}
	return ErrVersion
}

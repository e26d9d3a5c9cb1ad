package billing

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"tallyroute/billing/policy"
)

// KeyID identifies a virtual key for life: "key_" and a ULID. Secrets come and go.
type KeyID string

// Owner is who an attempt is charged to. It is copied onto every row, so that moving a
// key later does not move what it has spent.
type Owner struct {
	KeyID       KeyID  `json:"key_id"`
	ProjectID   string `json:"project_id"`
	TeamID      string `json:"team_id"`
	CostCenter  string `json:"cost_center"`
	Environment string `json:"environment"`
}

// Key is a virtual key as stored, without its secret.
type Key struct {
	ID          KeyID
	Name        string
	Display     string // "sk-tr-prod-…x7qd", of its newest secret: enough to recognise, too little to use
	Purpose     string // what it is for, in plain words
	Address     string // where to send messages: the address of the person responsible for it
	OwnerID     string // the principal that the key belongs to; "" where it belongs to nobody in particular
	Sensitivity Sensitivity
	Client      Client        // who sends the secret
	RotateEvery time.Duration // 0 means the default for its sensitivity
	ProjectID   string
	Project     string // name
	TeamID      string
	Team        string // name
	CostCenter  string
	Environment string // prod, staging or dev
	DataClass   string // of its project

	Models        []string       // names, "provider/*" or aliases that it may ask for; empty means all
	AllowedCIDRs  []netip.Prefix // empty means any address
	AllowUnpriced bool           // may use models without a known price, despite a money budget
	// AllowProviderObjects lets its requests refer to objects stored at providers, which
	// all keys share there, and store their responses there.
	AllowProviderObjects bool
	// KeepResponses lets its responses be stored by the router, where the router stores
	// any.
	KeepResponses bool
	Tags          map[string]string

	// Policies are the further rules of its team, its project and the key itself. Stores
	// fill in all of them on every read, and store only the key's own.
	Policies policy.Layers
	// Rights is Policies compiled, for a key that a Verifier has found; nil where there
	// are no policies.
	Rights *policy.Rights

	// Budgets are all that bind this key: its own and those of its project, team and
	// organisation, ordered by ID. Stores fill them in on every read.
	Budgets []Budget

	CreatedBy     string
	CreatedAt     time.Time
	ExpiresAt     time.Time // zero: never
	RevokedAt     time.Time // zero: in force
	RevokedReason string
	LastUsedAt    time.Time // zero: never
	RotatedAt     time.Time // when its newest secret was made; zero: it has no secret yet
	ArchivedAt    time.Time // its secrets are destroyed, its spend is kept

	DisabledAt     time.Time // zero: not disabled
	DisabledBy     string
	DisabledReason string

	// Overrun is what its responses used beyond what was held for them, since the key
	// was created or last enabled. A store stops the key when the overrun passes its
	// limit.
	Overrun   Amount
	StoppedAt time.Time // zero: not stopped
	EnabledAt time.Time // zero: never, because it was never stopped
	// TokensFrom is set after a leak: temporary keys made earlier are refused. Zero: none
	// are refused for their age.
	TokensFrom    time.Time
	EnabledBy     string
	EnabledReason string

	// Version grows with every change to the key, its owners or any budget that binds
	// it. Reserve refuses a hold made on an older version.
	Version int64

	// Secret is the state of the secret by which the key was found, if it was found by
	// one.
	Secret SecretState

	// EndUser is who its requests are attributed to, whatever the requests say, and
	// Allotment is what they may use in addition to its budgets. Both are set for
	// temporary keys only.
	EndUser   string
	Allotment *Allotment

	// Once identifies the request that creates the key. Stores write it and do not read
	// it back.
	Once Once
}

// Once identifies a request that must take effect only once, by hashes of its name and
// of its contents.
type Once struct{ Name, Body string }

// Sensitivity says how much harm a key could do in the wrong hands, and so how often
// its secret should be rotated.
type Sensitivity string

// The sensitivities. The zero value is SensitivityNormal.
const (
	SensitivityCritical Sensitivity = "critical"
	SensitivityHigh     Sensitivity = "high"
	SensitivityNormal   Sensitivity = "normal"
	SensitivityLow      Sensitivity = "low"
)

// Client says where the secret of a key is kept: on servers, or in pages that anybody
// can read.
type Client string

// The clients. The zero value is ClientServer.
const (
	ClientServer  Client = "server"
	ClientBrowser Client = "browser"
)

// Sensitivities returns all sensitivities.
func Sensitivities() []Sensitivity {
	return []Sensitivity{SensitivityCritical, SensitivityHigh, SensitivityNormal, SensitivityLow}
}

// RotateEvery returns how often a key of this sensitivity should get a new secret.
func (s Sensitivity) RotateEvery() time.Duration {
	const day = 24 * time.Hour
	switch s {
	case SensitivityCritical:
		return 7 * day
	case SensitivityHigh:
		return 30 * day
	case SensitivityLow:
		return 180 * day
	case SensitivityNormal:
	}
	return 90 * day
}

// RotationDue returns when the key should get a new secret; zero where it has none yet.
func (k *Key) RotationDue() time.Time {
	if k.RotatedAt.IsZero() {
		return time.Time{}
	}
	return k.RotatedAt.Add(cmp.Or(k.RotateEvery, k.Sensitivity.RotateEvery()))
}

// Owner returns the part of the key that is copied onto its spend.
func (k *Key) Owner() Owner {
	return Owner{KeyID: k.ID, ProjectID: k.ProjectID, TeamID: k.TeamID, CostCenter: k.CostCenter, Environment: k.Environment}
}

// Holder returns the display name of what a budget of the key applies to, such as team
// "payments".
func (k *Key) Holder(b Budget) string {
	switch b.Scope {
	case ScopeKey:
		return fmt.Sprintf("key %q", k.Name) + b.PartWords()
	case ScopeProject:
		return fmt.Sprintf("project %q", k.Team+"/"+k.Project) + b.PartWords()
	case ScopeTeam:
		return fmt.Sprintf("team %q", k.Team) + b.PartWords()
	case ScopeOrg:
		return "the organisation" + b.PartWords()
	case ScopeTemporary:
		return "this temporary key"
	}
	return string(b.Scope)
}

// Facts returns what the conditions of policies can see of the key.
func (k *Key) Facts() policy.KeyFacts {
	return policy.KeyFacts{
		ID: string(k.ID), Name: k.Name, Project: k.Project, Team: k.Team, Environment: k.Environment, Tags: k.Tags,
	}
}

// InForce says whether the key may be used at an instant; it returns ErrRevoked,
// ErrRotated, ErrExpired, ErrDisabled or ErrStopped if not. A revoked key is revoked
// whatever the time, since clocks differ.
func (k *Key) InForce(at time.Time) error {
	if !k.RevokedAt.IsZero() {
		return fmt.Errorf("%w since %s", ErrRevoked, k.RevokedAt.UTC().Format(time.RFC3339))
	}
	if until := k.Secret.Until; !until.IsZero() && !at.Before(until) {
		return fmt.Errorf("%w; this secret ended on %s", ErrRotated, until.UTC().Format(time.RFC3339))
	}
	if !k.ExpiresAt.IsZero() && !at.Before(k.ExpiresAt) {
		return fmt.Errorf("%w on %s", ErrExpired, k.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if !k.DisabledAt.IsZero() {
		return fmt.Errorf("%w since %s", ErrDisabled, k.DisabledAt.UTC().Format(time.RFC3339))
	}
	if !k.StoppedAt.IsZero() {
		return fmt.Errorf("%w since %s", ErrStopped, k.StoppedAt.UTC().Format(time.RFC3339))
	}
	return nil
}

// AllowsAddress reports whether the key may be used from an address. An IPv4 address
// is the same in either notation.
func (k *Key) AllowsAddress(from netip.Addr) bool {
	return k.AllowsNetwork(netip.PrefixFrom(from, from.BitLen()))
}

// AllowsNetwork reports whether the key may be used from every address of a network.
func (k *Key) AllowsNetwork(n netip.Prefix) bool {
	return len(k.AllowedCIDRs) == 0 || policy.CoversRange(k.AllowedCIDRs, n)
}

// AllowsModel reports whether the key may ask for a model by that name, which may
// belong to one of the groups that the key lists.
func (k *Key) AllowsModel(name string, groups policy.Groups) bool {
	return len(k.Models) == 0 || groups.In(k.Models, name)
}

// NeedsPrice reports whether the key may only use models with a known price, because a
// money budget could not be enforced otherwise.
func (k *Key) NeedsPrice() bool {
	return !k.AllowUnpriced && k.BoundInMoney()
}

// BoundInMoney reports whether a budget in money binds the key.
func (k *Key) BoundInMoney() bool {
	return k.Allotment != nil && k.Allotment.Money != nil || k.any(func(b *Budget) bool { return b.Money != nil && b.Binds() })
}

// Bounded reports whether a budget in tokens or money binds the key.
func (k *Key) Bounded() bool {
	return k.Allotment != nil || k.any(func(b *Budget) bool { return (b.Money != nil || b.Tokens != nil) && b.Binds() })
}

// Own returns the key's own budget for a period, or nil if there is none.
func (k *Key) Own(p Period) *Budget {
	for i := range k.Budgets {
		if b := &k.Budgets[i]; b.Scope == ScopeKey && b.Period == p && b.Part == "" {
			return b
		}
	}
	return nil
}

// Downgrades reports whether the cheapest model should answer because the limit of a
// budget is near.
func (k *Key) Downgrades() bool {
	return k.any(func(b *Budget) bool { return b.Action == ActionDowngrade })
}

// Lines returns the budgets that apply to everything that the key uses, each in the
// window that an instant falls in.
func (k *Key) Lines(at time.Time) ([]HoldLine, error) {
	list := make([]HoldLine, 0, len(k.Budgets))
	for i := range k.Budgets {
		if k.Budgets[i].Part != "" {
			continue
		}
		line, err := k.Budgets[i].Line(at)
		if err != nil {
			return nil, err
		}
		list = append(list, line)
	}
	return list, nil
}

// Parted reports whether the key is bound by limits on parts.
func (k *Key) Parted() bool {
	return k.any(func(b *Budget) bool { return b.Part != "" })
}

// any reports whether one of the budgets is of a kind. Every request asks, so none is copied.
func (k *Key) any(of func(*Budget) bool) bool {
	for i := range k.Budgets {
		if of(&k.Budgets[i]) {
			return true
		}
	}
	return false
}

// KeyStatuses returns the statuses that a key can have; InForce says more about each.
func KeyStatuses() []string {
	return []string{"active", "disabled", "stopped", "expired", "revoked", "archived"}
}

// Status returns one of KeyStatuses.
func (k *Key) Status(now time.Time) string {
	switch {
	case !k.ArchivedAt.IsZero():
		return "archived"
	case !k.RevokedAt.IsZero():
		return "revoked"
	case !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now):
		return "expired"
	case !k.DisabledAt.IsZero():
		return "disabled"
	case !k.StoppedAt.IsZero():
		return "stopped"
	}
	return "active"
}

// KeyFilter narrows ListKeys. Empty fields match everything.
type KeyFilter struct {
	ID      KeyID
	Team    string    // id or name
	Project string    // id or name
	Status  string    // one of KeyStatuses
	Query   string    // part of the name, the id or the displayed part of the secret, taken literally
	Unused  time.Time // neither used nor created since then
	After   KeyID     // for paging: keys whose id is greater
	Limit   int       // 0 is 200, which is also the maximum
	Now     time.Time
	Within  *Within // nil means everywhere
	// Owner is the id of the principal that the key belongs to. With an Address, keys
	// that belong to no principal also match if the address is theirs.
	Owner, Address string
}

// Within is a set of teams and projects, by id; it covers everything that belongs to
// any of them.
type Within struct{ Teams, Projects []string }

// Team owns projects and has a cost center.
type Team struct {
	ID, Name, CostCenter, OwnerEmail string
	CreatedAt, ArchivedAt            time.Time
	Policy                           *policy.Policy // applies to all keys below; nil if there is none
}

// Project belongs to a team, lives in one environment and owns keys.
type Project struct {
	ID, Name, TeamID, Team, CostCenter, Environment string
	DataClass                                       string // such as confidential; "" where unspecified
	CreatedAt, ArchivedAt                           time.Time
	Policy                                          *policy.Policy // applies to its keys; nil if there is none
}

// RotationOverdue reports whether the key is in force and should have had a new secret
// by now.
func (k *Key) RotationOverdue(now time.Time) bool {
	due := k.RotationDue()
	return !due.IsZero() && now.After(due) && k.InForce(now) == nil
}

package billing

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tallyroute/billing/policy"
)

// KeyID names a virtual key for life: "key_" and a ULID. Secrets come and go.
type KeyID string

// Owner is to whom an attempt is charged. It is copied onto every row, so that
// moving a key later does not move what it spent.
type Owner struct {
	KeyID       KeyID  `json:"key_id"`
	ProjectID   string `json:"project_id"`
	TeamID      string `json:"team_id"`
	CostCenter  string `json:"cost_center"`
	Environment string `json:"environment"`
}

// Key is a virtual key as the store holds it. It has no secret.
type Key struct {
	ID          KeyID
	Name        string
	Display     string // "sk-tr-prod-…x7qd", of its newest secret: enough to recognise, too little to use
	Purpose     string // what it is for, in words
	Address     string // of whoever answers for it, for messages
	OwnerID     string // of the principal whose key it is; "" is nobody's in particular
	Sensitivity Sensitivity
	Client      Client        // who sends it
	RotateEvery time.Duration // 0 is what the sensitivity says
	ProjectID   string
	Project     string // name
	TeamID      string
	Team        string // name
	CostCenter  string
	Environment string // prod, staging or dev
	DataClass   string // of its project

	Models        []string       // names, "provider/*" or aliases that it may ask for; empty is all
	AllowedCIDRs  []netip.Prefix // empty is anywhere
	AllowUnpriced bool           // may use models without a known price, despite a money budget
	// AllowProviderObjects lets its requests name what is stored at providers, which
	// all keys share there, and store their answers.
	AllowProviderObjects bool
	// KeepResponses lets it have its responses kept here, where the router keeps any.
	KeepResponses bool
	Tags          map[string]string

	// Policies are what its team, its project and it itself may do besides. Stores fill
	// them on every read, and keep its own.
	Policies policy.Layers
	// Rights are Policies compiled, of a key that a Verifier has found; nil where there
	// are none.
	Rights *policy.Rights

	// Budgets are all that bind this key: its own and those of its project,
	// team and organisation, ordered by ID. Stores fill them on every read.
	Budgets []Budget

	CreatedBy     string
	CreatedAt     time.Time
	ExpiresAt     time.Time // zero: never
	RevokedAt     time.Time // zero: in force
	RevokedReason string
	LastUsedAt    time.Time // zero: never
	RotatedAt     time.Time // when its newest secret was made; zero: it has none yet
	ArchivedAt    time.Time // its secrets are destroyed, what it spent is kept

	DisabledAt     time.Time // zero: it is not
	DisabledBy     string
	DisabledReason string

	// Overrun is what its answers took beyond what was held for them, since it
	// was made or last enabled. A store stops the key when that passes its limit.
	Overrun       Amount
	StoppedAt     time.Time // zero: it is not
	EnabledAt     time.Time // zero: never, as it was not stopped
	EnabledBy     string
	EnabledReason string

	// Version grows with every change of the key, its owners or any budget that
	// binds it. Reserve refuses a hold made on an older version.
	Version int64

	// Secret is by which of its secrets the key was found, if by one.
	Secret SecretState

	// EndUser is for whom its requests are, whatever they say, and Allotment what they may
	// use besides its budgets: both of a temporary key only.
	EndUser   string
	Allotment *Allotment

	// Once names the request that makes the key. Stores write it and do not read it back.
	Once Once
}

// Once names a request that is to be done once: hashes of its name and of what it asks for.
type Once struct{ Name, Body string }

// Sensitivity says how much harm a key can do in wrong hands, and so how often its
// secret should be new.
type Sensitivity string

// The sensitivities. The zero value is SensitivityNormal.
const (
	SensitivityCritical Sensitivity = "critical"
	SensitivityHigh     Sensitivity = "high"
	SensitivityNormal   Sensitivity = "normal"
	SensitivityLow      Sensitivity = "low"
)

// Client says where the secret of a key is: on servers, or in pages that anybody can read.
type Client string

// The clients. The zero value is ClientServer.
const (
	ClientServer  Client = "server"
	ClientBrowser Client = "browser"
)

// Sensitivities are all sensitivities.
func Sensitivities() []Sensitivity {
	return []Sensitivity{SensitivityCritical, SensitivityHigh, SensitivityNormal, SensitivityLow}
}

// RotateEvery is how often a key of that sensitivity should get a new secret.
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

// RotationDue is when the key should get a new secret; zero where it has none yet.
func (k *Key) RotationDue() time.Time {
	if k.RotatedAt.IsZero() {
		return time.Time{}
	}
	return k.RotatedAt.Add(cmp.Or(k.RotateEvery, k.Sensitivity.RotateEvery()))
}

// Owner is the part of the key that is copied onto its spend.
func (k *Key) Owner() Owner {
	return Owner{KeyID: k.ID, ProjectID: k.ProjectID, TeamID: k.TeamID, CostCenter: k.CostCenter, Environment: k.Environment}
}

// Holder names what a budget of the key binds, for people: team "payments".
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

// Facts are what the conditions of policies see of the key.
func (k *Key) Facts() policy.KeyFacts {
	return policy.KeyFacts{
		ID: string(k.ID), Name: k.Name, Project: k.Project, Team: k.Team, Environment: k.Environment, Tags: k.Tags,
	}
}

// InForce says whether the key may be used at an instant: ErrRevoked, ErrRotated,
// ErrExpired, ErrDisabled or ErrStopped where not. A key that was revoked is so for
// good, whatever the time: clocks differ.
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

// AllowsAddress says whether the key may be used from an address. An IPv4
// address is the same one however it is written.
func (k *Key) AllowsAddress(from netip.Addr) bool {
	if len(k.AllowedCIDRs) == 0 {
		return true
	}
	from = from.Unmap().WithZone("")
	return slices.ContainsFunc(k.AllowedCIDRs, func(p netip.Prefix) bool {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p.Contains(from)
	})
}

// AllowsModel says whether the key may ask for a model by that name, which may be in one
// of the groups that the key names.
func (k *Key) AllowsModel(name string, groups policy.Groups) bool {
	return len(k.Models) == 0 || groups.In(k.Models, name)
}

// NeedsPrice says whether the key may only use models whose price is known: a
// budget in money could not be kept otherwise.
func (k *Key) NeedsPrice() bool {
	return !k.AllowUnpriced && k.BoundInMoney()
}

// BoundInMoney says whether a budget in money binds the key.
func (k *Key) BoundInMoney() bool {
	return k.Allotment != nil && k.Allotment.Money != nil ||
		slices.ContainsFunc(k.Budgets, func(b Budget) bool { return b.Money != nil && b.Binds() })
}

// Bounded says whether a budget in tokens or money binds the key.
func (k *Key) Bounded() bool {
	return k.Allotment != nil ||
		slices.ContainsFunc(k.Budgets, func(b Budget) bool { return (b.Money != nil || b.Tokens != nil) && b.Binds() })
}

// Own is the budget of the key itself for a period; nil is none.
func (k *Key) Own(p Period) *Budget {
	for i := range k.Budgets {
		if b := &k.Budgets[i]; b.Scope == ScopeKey && b.Period == p && b.Part == "" {
			return b
		}
	}
	return nil
}

// Downgrades reports that near the limit of a budget the cheapest model is to answer.
func (k *Key) Downgrades() bool {
	return slices.ContainsFunc(k.Budgets, func(b Budget) bool { return b.Action == ActionDowngrade })
}

// Lines are the budgets that bind all that the key uses, in the windows that an instant
// falls in.
func (k *Key) Lines(at time.Time) ([]HoldLine, error) {
	list := make([]HoldLine, 0, len(k.Budgets))
	for i := range k.Budgets {
		if k.Budgets[i].Part != "" {
			continue
		}
		line, err := k.Budgets[i].line(at)
		if err != nil {
			return nil, err
		}
		list = append(list, line)
	}
	return list, nil
}

// Parted reports that limits of parts bind the key.
func (k *Key) Parted() bool {
	return slices.ContainsFunc(k.Budgets, func(b Budget) bool { return b.Part != "" })
}

// KeyStatuses are what a key may be; InForce says more of each.
func KeyStatuses() []string {
	return []string{"active", "disabled", "stopped", "expired", "revoked", "archived"}
}

// Status is one of KeyStatuses.
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

// KeyFilter narrows ListKeys. Empty members do not narrow.
type KeyFilter struct {
	ID      KeyID
	Team    string    // id or name
	Project string    // id or name
	Status  string    // one of KeyStatuses
	Query   string    // part of the name, the id or what is shown of the secret, taken literally
	Unused  time.Time // not used since then, nor made
	After   KeyID     // for paging: keys whose id is greater
	Limit   int       // 0 is 200, which is also the most
	Now     time.Time
	Within  *Within // nil is everywhere
	// Owner is the id of a principal whose key it is. With an Address, keys that are
	// nobody's in particular count where it is theirs.
	Owner, Address string
}

// Within are teams and projects by their ids: what is in any of them.
type Within struct{ Teams, Projects []string }

// Team owns projects and has a cost centre.
type Team struct {
	ID, Name, CostCenter, OwnerEmail string
	CreatedAt, ArchivedAt            time.Time
	Policy                           *policy.Policy // of all keys below; nil is none
}

// Project belongs to a team, lives in one environment and owns keys.
type Project struct {
	ID, Name, TeamID, Team, CostCenter, Environment string
	DataClass                                       string // such as confidential; "" is that nobody says
	CreatedAt, ArchivedAt                           time.Time
	Policy                                          *policy.Policy // of its keys; nil is none
}

// RotationOverdue reports a key in force that should have got a new secret by now.
func (k *Key) RotationOverdue(now time.Time) bool {
	due := k.RotationDue()
	return !due.IsZero() && now.After(due) && k.InForce(now) == nil
}

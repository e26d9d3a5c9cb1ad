package billing

import (
	"net/netip"
	"time"
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
	Display     string // "sk-tr-prod-…x7qd": enough to recognise, too little to use
	ProjectID   string
	Project     string // name
	TeamID      string
	Team        string // name
	CostCenter  string
	Environment string // prod, staging or dev

	Models            []string       // names, "provider/*" or aliases that it may ask for; empty is all
	AllowedCIDRs      []netip.Prefix // empty is anywhere
	RequestsPerMinute int64          // 0 is no limit
	TokensPerMinute   int64          // 0 is no limit
	AllowUnpriced     bool           // may use models without a known price, despite a money budget
	Tags              map[string]string

	// Budgets are all that bind this key: its own and those of its project,
	// team and organisation, ordered by ID. Stores fill them on every read.
	Budgets []Budget

	CreatedBy     string
	CreatedAt     time.Time
	ExpiresAt     time.Time // zero: never
	RevokedAt     time.Time // zero: in force
	RevokedReason string
	LastUsedAt    time.Time // zero: never

	// Version grows with every change of the key, its owners or any budget that
	// binds it. Reserve refuses a hold made on an older version.
	Version int64
}

// Owner is the part of the key that is copied onto its spend.
func (k *Key) Owner() Owner {
	return Owner{KeyID: k.ID, ProjectID: k.ProjectID, TeamID: k.TeamID, CostCenter: k.CostCenter, Environment: k.Environment}
}

// KeyFilter narrows ListKeys. Empty members do not narrow.
type KeyFilter struct {
	ID      KeyID
	Team    string // id or name
	Project string // id or name
	Status  string // "active", "expired" or "revoked"
	Query   string // part of the name, taken literally
	After   KeyID  // for paging: keys whose id is greater
	Limit   int    // 0 is 200, which is also the most
	Now     time.Time
}

// Team owns projects and has a cost centre.
type Team struct {
	ID, Name, CostCenter, OwnerEmail string
	CreatedAt, ArchivedAt            time.Time
}

// Project belongs to a team, lives in one environment and owns keys.
type Project struct {
	ID, Name, TeamID, Team, CostCenter, Environment string
	CreatedAt, ArchivedAt                           time.Time
}

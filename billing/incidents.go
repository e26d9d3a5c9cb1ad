package billing

import (
	"context"
	"time"
)

// IncidentAction is what was done about a key in wrong hands.
type IncidentAction string

// The actions, the hardest first.
const (
	IncidentRevoke  IncidentAction = "revoke"
	IncidentDisable IncidentAction = "disable"
	IncidentNarrow  IncidentAction = "narrow" // to addresses that are known
)

// Incident is a key that got into wrong hands, and the evidence as it was sealed.
type Incident struct {
	ID        string
	KeyID     KeyID
	Action    IncidentAction
	Reason    string
	Since     time.Time // from when on its use is in doubt
	OpenedAt  time.Time
	OpenedBy  string
	Bundle    string // JSON
	SHA256    string // of the bundle
	Signature string // of the digest; "" where there was no key
	PublicKey string // that verifies it
	ClosedAt  time.Time
	ClosedBy  string
	Outcome   string
}

// Incidents keeps incidents. What was sealed does not change.
type Incidents interface {
	AddIncident(ctx context.Context, i Incident, notes ...*Change) error
	// CloseIncident is a *ConflictError where it is closed already.
	CloseIncident(ctx context.Context, id string, end Incident, notes ...*Change) error
	// ListIncidents lists incidents, the newest first: the one with an id, or all where
	// that is "", at most 1000.
	ListIncidents(ctx context.Context, id string) ([]Incident, error)
}

// IncidentClosed is that an incident is closed already.
func IncidentClosed(id string) error {
	return &ConflictError{Detail: "incident " + id + " is closed already"}
}

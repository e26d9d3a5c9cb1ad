package billing

import (
	"context"
	"time"
)

// IncidentAction is what was done about a key that fell into the wrong hands.
type IncidentAction string

// The actions, most drastic first.
const (
	IncidentRevoke  IncidentAction = "revoke"
	IncidentDisable IncidentAction = "disable"
	IncidentNarrow  IncidentAction = "narrow" // restrict the key to known addresses
)

// Incident is a case of a key in the wrong hands, with the sealed evidence.
type Incident struct {
	ID        string
	KeyID     KeyID
	Action    IncidentAction
	Reason    string
	Since     time.Time // when the doubtful use began
	OpenedAt  time.Time
	OpenedBy  string
	Bundle    string // JSON
	SHA256    string // of the bundle
	Signature string // of the digest; "" where there was no signing key
	PublicKey string // verifies the signature
	ClosedAt  time.Time
	ClosedBy  string
	Outcome   string
}

// Incidents stores incidents. Sealed evidence does not change.
type Incidents interface {
	AddIncident(ctx context.Context, i Incident, notes ...*Change) error
	// CloseIncident returns a *ConflictError where the incident is already closed.
	CloseIncident(ctx context.Context, id string, end Incident, notes ...*Change) error
	// ListIncidents lists incidents, newest first: the one with the given id or, where
	// id is "", all of them, at most 1000.
	ListIncidents(ctx context.Context, id string) ([]Incident, error)
}

// IncidentClosed returns the error that an incident is already closed.
func IncidentClosed(id string) error {
	return &ConflictError{Detail: "incident " + id + " is closed already"}
}

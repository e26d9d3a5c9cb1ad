package billing

import (
	"context"
	"time"
)

// Claim is the right to answer a request that its client may send again under
// the same name.
type Claim struct {
	KeyID       KeyID
	Name        [32]byte // a hash of what the client calls the request
	Fingerprint [32]byte // a hash of what it asks for
	RequestID   string   // of the request that claims
}

// ClaimState is how far a claimed request has come.
type ClaimState string

// The states.
const (
	ClaimRunning  ClaimState = "running"   // it is being answered
	ClaimAnswered ClaimState = "kept"      // the answer is there
	ClaimTooLarge ClaimState = "too_large" // it was answered, but the answer was not kept
)

// Claimed is what is known of a request that was claimed before.
type Claimed struct {
	RequestID   string
	Fingerprint [32]byte
	State       ClaimState
	Answer      []byte // as it was given to Keep; only where it was kept
}

// Claims keeps answers that may be asked for again, for a time.
type Claims interface {
	// Claim takes the name for c.RequestID until the given instant, or says what
	// there is under that name. One that is past its time is taken over. Atomic:
	// of any number of claims for one name, one is granted. Twice is once.
	Claim(ctx context.Context, c Claim, now, until time.Time) (found *Claimed, err error)
	// Keep stores the answer under a claim until the given instant; nil says
	// that it is too large. It does nothing for a claim that was taken over.
	Keep(ctx context.Context, c Claim, answer []byte, until time.Time) error
	// Forget gives up a claim that is running, so that the name is free.
	Forget(ctx context.Context, c Claim) error
	// ExpireClaims removes what is past its time and says how much that was.
	ExpireClaims(ctx context.Context, now time.Time) (int, error)
}

// StateOf is the state that an answer leaves behind.
func StateOf(answer []byte) ClaimState {
	if answer == nil {
		return ClaimTooLarge
	}
	return ClaimAnswered
}

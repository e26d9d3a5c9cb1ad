package billing

import (
	"context"
	"errors"
	"time"
)

// Claim is the right to answer a request that its client may send again under the same
// name.
type Claim struct {
	KeyID       KeyID
	Name        [32]byte // a hash of the client's name for the request
	Fingerprint [32]byte // a hash of what it asks for
	RequestID   string   // of the request that claims
}

// ClaimState is the state of a claimed request.
type ClaimState string

// The states.
const (
	ClaimRunning  ClaimState = "running"   // it is being answered
	ClaimDone     ClaimState = "done"      // the change was made, but no answer is stored yet
	ClaimAnswered ClaimState = "kept"      // the answer is stored
	ClaimTooLarge ClaimState = "too_large" // it was answered, but the answer was not kept
)

// Claimed is what is known about a request that was claimed before.
type Claimed struct {
	RequestID   string
	Fingerprint [32]byte
	State       ClaimState
	Answer      []byte // as it was given to Keep; only where it was stored
	Object      string // changed by the first change under the claim
}

// ChangeClaim is the claim of a request that makes a change. It becomes ClaimDone in the
// transaction of the change and stays so until Until, unless an answer is stored.
type ChangeClaim struct {
	Claim
	Until time.Time
}

// ErrClaimLost refuses a change whose claim another request has taken over.
var ErrClaimLost = errors.New("billing: another request has taken over the claim")

// Claims stores, for a limited time, answers that clients may ask for again.
type Claims interface {
	// Claim claims the name for c.RequestID until the given instant, or returns the
	// existing claim to that name. An expired claim is taken over. The method is atomic:
	// of any number of concurrent claims to one name, one is granted. It is idempotent.
	Claim(ctx context.Context, c Claim, now, until time.Time) (found *Claimed, err error)
	// Keep stores the answer under a claim until the given instant; nil means that the
	// answer is too large. It does nothing for a claim that was taken over.
	Keep(ctx context.Context, c Claim, answer []byte, until time.Time) error
	// Forget gives up a running claim, so that the name is free again.
	Forget(ctx context.Context, c Claim) error
	// ExpireClaims removes expired claims and returns how many there were.
	ExpireClaims(ctx context.Context, now time.Time) (int, error)
}

// StateOf returns the state that an answer leaves a claim in.
func StateOf(answer []byte) ClaimState {
	if answer == nil {
		return ClaimTooLarge
	}
	return ClaimAnswered
}

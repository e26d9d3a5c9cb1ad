package idempotency

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"time"

	"tallyroute/billing"
)

// Store keeps claims and answers; see billing.Claims for what it must guarantee.
type Store interface {
	Claim(ctx context.Context, c billing.Claim, now, until time.Time) (*billing.Claimed, error)
	Keep(ctx context.Context, c billing.Claim, answer []byte, until time.Time) error
	Forget(ctx context.Context, c billing.Claim) error
}

// Request is a request that its client may send again.
type Request struct {
	ID    string // ours
	KeyID billing.KeyID
	Name  string // the client's name for it
	Path  string // where it was sent
	Body  []byte
}

// Answer is a stored answer, exactly as it was sent.
type Answer struct {
	RequestID string            // of the request that was answered
	Header    map[string]string // the headers that describe it
	Body      []byte            // nil if it was too large to keep
}

// DuplicateError is a request with an idempotency key that is in use, or was used for something
// else.
type DuplicateError struct {
	RequestID string // of the request that uses the key
	Reason    DuplicateReason
	Object    string // the object that was changed, for DuplicateDone
}

// DuplicateReason is why a request that was sent again is not answered again.
type DuplicateReason string

// The reasons.
const (
	DuplicateOther   DuplicateReason = "asked for something else"
	DuplicateRunning DuplicateReason = "is being answered"
	DuplicateLarge   DuplicateReason = "had an answer that was too large to keep"
	DuplicateDone    DuplicateReason = "made its change, and then its answer was lost"
)

// Error names the request and the reason.
func (e *DuplicateError) Error() string {
	return fmt.Sprintf("router: the idempotency key is that of %s, which %s", e.RequestID, e.Reason)
}

// Claim is the right to answer a request. It must be used by one goroutine only.
type Claim struct {
	store Store
	claim billing.Claim
	seal  [sha256.Size]byte // the key of the answer
	ended bool
}

// Take claims a request until the given time. If another request holds the claim, it returns
// the answer to that request, or a *DuplicateError.
func Take(ctx context.Context, s Store, r Request, now, until time.Time) (*Claim, *Answer, error) {
	c := &Claim{
		store: s,
		claim: billing.Claim{
			KeyID: r.KeyID, RequestID: r.ID,
			Name:        keyed(r.Name, "name", []byte(r.KeyID)),
			Fingerprint: keyed(r.Name, "body "+r.Path, r.Body),
		},
		seal: keyed(r.Name, "seal "+r.Path, r.Body),
	}
	found, err := s.Claim(ctx, c.claim, now, until)
	if err != nil {
		return nil, nil, err
	}
	if found == nil {
		return c, nil, nil
	}
	kept, err := c.read(found)
	return nil, kept, err
}

// read returns the answer to another request that holds the claim.
func (c *Claim) read(found *billing.Claimed) (*Answer, error) {
	switch {
	case found.Fingerprint != c.claim.Fingerprint:
		return nil, &DuplicateError{RequestID: found.RequestID, Reason: DuplicateOther}
	case found.State == billing.ClaimRunning:
		return nil, &DuplicateError{RequestID: found.RequestID, Reason: DuplicateRunning}
	case found.State == billing.ClaimTooLarge:
		return nil, &DuplicateError{RequestID: found.RequestID, Reason: DuplicateLarge}
	case found.State == billing.ClaimDone:
		return nil, &DuplicateError{RequestID: found.RequestID, Reason: DuplicateDone, Object: found.Object}
	}
	return open(c.seal, found)
}

// Change returns the claim for the change that the request makes, whose transaction marks it as
// done until the given time.
func (c *Claim) Change(until time.Time) *billing.ChangeClaim {
	return &billing.ChangeClaim{Claim: c.claim, Until: until}
}

// Keep stores the answer until the given time and thereby ends the claim. An answer without a
// body is recorded as too large.
func (c *Claim) Keep(ctx context.Context, a Answer, until time.Time) error {
	if c.ended {
		return nil
	}
	c.ended = true
	sealed, err := c.close(a)
	if err != nil {
		return err
	}
	return c.store.Keep(ctx, c.claim, sealed, until)
}

// Forget gives up the claim, unless it has ended, so that the request may be sent again. If the
// database is unavailable, the claim lapses by itself.
func (c *Claim) Forget(ctx context.Context) error {
	if c.ended {
		return nil
	}
	c.ended = true
	return c.store.Forget(ctx, c.claim)
}

func keyed(key, purpose string, data []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte("tallyroute idempotency " + purpose + "\x00"))
	h.Write(data)
	h.Sum(sum[:0])
	return sum
}

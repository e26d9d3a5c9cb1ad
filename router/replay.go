package router

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tallyroute/billing"
)

// Replays keeps answers that clients may ask for again; see billing.Replays
// for the obligations.
type Replays interface {
	Claim(ctx context.Context, c billing.Claim, now, until time.Time) (*billing.Replay, error)
	Keep(ctx context.Context, c billing.Claim, answer []byte, until time.Time) error
	Forget(ctx context.Context, c billing.Claim) error
}

// Kept is an answer as it was sent.
type Kept struct {
	Header map[string]string // what describes it
	Body   []byte
}

// ReplayedError is no failure: the request was answered before, and this was
// the answer.
type ReplayedError struct {
	Kept
	KeyID     billing.KeyID
	RequestID string // of the request that was answered
}

// Error names the request that was answered.
func (e *ReplayedError) Error() string { return "router: answered before, by " + e.RequestID }

// DuplicateError is a request under an idempotency key that is in use, or was
// used for something else.
type DuplicateError struct {
	RequestID string // of the request that has the key
	Reason    DuplicateReason
}

// DuplicateReason is why a request that was sent again is not answered again.
type DuplicateReason string

// The reasons.
const (
	DuplicateOther   DuplicateReason = "asked for something else"
	DuplicateRunning DuplicateReason = "is being answered"
	DuplicateLarge   DuplicateReason = "had an answer that was too large to keep"
)

// Error names the request and the reason.
func (e *DuplicateError) Error() string {
	return fmt.Sprintf("router: the idempotency key is that of %s, which %s", e.RequestID, e.Reason)
}

// claim is a request that its client may send again. Nothing that the database
// sees of it tells what was asked or answered to somebody who does not know
// the client's own key and what was asked.
type claim struct {
	billing.Claim
	seal [sha256.Size]byte // the key of the answer
	kept bool
}

func newClaim(a *asked) *claim {
	body := a.req.Body()
	return &claim{
		Claim: billing.Claim{
			KeyID: a.key.ID, RequestID: a.in.RequestID,
			Name:        keyed(a.in.Idempotency, "name", []byte(a.key.ID)),
			Fingerprint: keyed(a.in.Idempotency, "body", body),
		},
		seal: keyed(a.in.Idempotency, "seal", body),
	}
}

func keyed(key, purpose string, data []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte("tallyroute idempotency " + purpose + "\x00"))
	h.Write(data)
	h.Sum(sum[:0])
	return sum
}

// claim makes sure that a request which bears an idempotency key is answered
// once: the first has the right to it, the others get its answer or are told
// why not. Requests without a key cost nothing here.
func (r *Router) claim(ctx context.Context, a *asked) error {
	if a.in.Idempotency == "" || r.Replays == nil {
		return nil
	}
	c := newClaim(a)
	found, err := r.Replays.Claim(ctx, c.Claim, a.in.At, a.in.At.Add(r.o.RequestTimeout+holdGrace))
	if err == nil && found == nil {
		a.claim = c
		return nil
	}
	r.rerate(*a, 0)
	if err != nil {
		return err
	}
	duplicate := &DuplicateError{RequestID: found.RequestID}
	switch {
	case found.Fingerprint != c.Fingerprint:
		duplicate.Reason = DuplicateOther
	case found.State == billing.ReplayRunning:
		duplicate.Reason = DuplicateRunning
	case found.State == billing.ReplayTooLarge:
		duplicate.Reason = DuplicateLarge
	default:
		kept, err := c.open(found)
		if err != nil {
			return err
		}
		return &ReplayedError{Kept: kept, KeyID: a.key.ID, RequestID: found.RequestID}
	}
	return duplicate
}

// forget gives a claim up, so that the request may be sent again. Where the
// database is away it lapses by itself.
func (r *Router) forget(ctx context.Context, c *claim) {
	if c == nil || c.kept {
		return
	}
	c.kept = true
	if err := r.settler.try(context.WithoutCancel(ctx), func(ctx context.Context) error { return r.Replays.Forget(ctx, c.Claim) }); err != nil {
		r.Observer.Observe(Record{RequestID: c.RequestID, Event: EventReplayLost, Err: err})
	}
}

// Claimed reports whether the answer is to be kept.
func (a *Answer) Claimed() bool { return a.s.claim != nil }

// Keep stores the answer for who asks again, before its last byte is sent. Of
// one without a body it is noted that it was too large.
func (a *Answer) Keep(k Kept) {
	c := a.s.claim
	if c == nil || c.kept {
		return
	}
	c.kept = true
	err := a.r.settler.try(context.WithoutCancel(a.ctx), func(ctx context.Context) error {
		sealed, err := c.close(k)
		if err != nil {
			return err
		}
		return a.r.Replays.Keep(ctx, c.Claim, sealed, a.s.in.At.Add(a.r.o.ReplayTTL))
	})
	if err != nil {
		a.r.Observer.Observe(Record{RequestID: c.RequestID, Event: EventReplayLost, Err: err})
	}
}

// close seals an answer: 12 bytes of nonce, then AES-256-GCM over the header as
// JSON, a line feed and the body, bound to the id of the request.
func (c *claim) close(k Kept) ([]byte, error) {
	if k.Body == nil {
		return nil, nil
	}
	header, err := json.Marshal(k.Header)
	if err != nil {
		return nil, err
	}
	aead, err := c.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(header)+1+len(k.Body)+aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return aead.Seal(nonce, nonce, bytes.Join([][]byte{header, k.Body}, []byte{'\n'}), []byte(c.RequestID)), nil
}

var errSealed = errors.New("router: a kept answer cannot be read")

func (c *claim) open(found *billing.Replay) (k Kept, err error) {
	aead, err := c.aead()
	if err != nil {
		return Kept{}, err
	}
	n := aead.NonceSize()
	if len(found.Answer) < n {
		return Kept{}, errSealed
	}
	text, err := aead.Open(nil, found.Answer[:n], found.Answer[n:], []byte(found.RequestID))
	if err != nil {
		return Kept{}, errSealed
	}
	header, body, _ := bytes.Cut(text, []byte{'\n'})
	if json.Unmarshal(header, &k.Header) != nil {
		return Kept{}, errSealed
	}
	k.Body = body
	return k, nil
}

func (c *claim) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(c.seal[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

package billing

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// SecretVersion is one of the secrets that a key has had. The newest is the current
// one; older ones stay valid for a while.
type SecretVersion struct {
	Number     int
	Display    string
	CreatedAt  time.Time
	ValidUntil time.Time     // zero: no end was set
	Quiet      time.Duration // it ends once it has been unused for this long; 0: it does not
	LastUsedAt time.Time     // known only while several secrets are valid
	Use        VersionUse
}

// SecretState is the state of the secret by which a key was found.
type SecretState struct {
	Number int
	Until  time.Time     // zero: no end was set
	Quiet  time.Duration // it ends once it has been unused for this long
	Shared bool          // other secrets of the key are valid as well
}

// Old reports whether a newer secret has replaced this one.
func (s SecretState) Old() bool { return !s.Until.IsZero() || s.Quiet > 0 }

// Ends returns the earliest time at which a replaced secret ends if it is used at an
// instant; zero: no end was set.
func (s SecretState) Ends(used time.Time) time.Time {
	if s.Until.IsZero() && s.Quiet > 0 {
		return used.Add(s.Quiet)
	}
	return s.Until
}

// Rotation is a new secret for a key.
type Rotation struct {
	KeyID   KeyID
	Hash    [32]byte
	Display string
	// Until is when the previous secrets end at the latest. It is zero where Quiet says
	// how long they must go unused before they end.
	Until time.Time
	Quiet time.Duration
	// Staged means that the previous secrets stay valid and remain the current ones
	// until FinishDelivery: the new secret is already valid, but nobody has it yet.
	Staged bool
	// Once identifies the rotation: repeating it changes nothing. "" means that it has
	// no name.
	Once string
	Now  time.Time
}

// Rotated is the result of a rotation, done now or earlier.
type Rotated struct {
	Key     Key
	Number  int // of the new version
	Existed bool
}

// Handover is a link that reveals a new secret of a key once.
type Handover struct {
	Token     [32]byte // a hash of the token in the link
	KeyID     KeyID
	By        string
	CreatedAt time.Time
	ExpiresAt time.Time
	// Overlap is how long the previous secrets stay valid after the new one was shown.
	Overlap  time.Duration
	OpenedAt time.Time
}

// Secrets stores the versions of keys' secrets.
type Secrets interface {
	// ListSecrets lists the versions of a key, newest first.
	ListSecrets(ctx context.Context, id KeyID) ([]SecretVersion, error)
	// RotateSecret adds a version and ends the previous ones. It refuses, with a
	// *ConflictError, a key that is revoked or has too many valid secrets.
	RotateSecret(ctx context.Context, r Rotation, notes ...*Change) (Rotated, error)
	// OfferSecret stores a hand-over, replacing any other of the key.
	OfferSecret(ctx context.Context, h Handover, notes ...*Change) error
	// ListHandovers lists the valid hand-overs of a key.
	ListHandovers(ctx context.Context, id KeyID, now time.Time) ([]Handover, error)
	// TakeSecret opens the hand-over with a token and rotates the key with r, filling in
	// its KeyID and Until. It returns ErrNoHandover if there is no valid one.
	TakeSecret(ctx context.Context, token [32]byte, r Rotation, notes ...*Change) (Rotated, error)
	// EndHandover ends the hand-over with a token, so that nobody can open it any more,
	// and returns its key, which becomes the object of the notes. It returns
	// ErrNoHandover if there is no valid one.
	EndHandover(ctx context.Context, token [32]byte, now time.Time, notes ...*Change) (KeyID, error)
	// EndQuietSecrets ends the versions that have been unused for as long as their Quiet
	// says, and lists their keys.
	EndQuietSecrets(ctx context.Context, now time.Time) ([]KeyID, error)
	// NoteSecretUse adds to the stored use of versions.
	NoteSecretUse(ctx context.Context, uses []SecretUse) error
}

// MostSecrets is how many secrets of one key may be valid at once.
const MostSecrets = 8

// SecretUse is how a version was used since its use was last stored.
type SecretUse struct {
	KeyID    KeyID
	Number   int
	At       time.Time // the last time
	Requests int64
	From     map[string]int64 // requests by address, for an old version
	Agents   map[string]int64 // and by user agent
}

// What is stored of the use of a version: requests in twelve slots of five minutes, and
// the most frequent addresses and user agents.
const (
	useSlot    = 5 * time.Minute
	useSlots   = 12
	mostCaller = 20
	mostAgent  = 40   // bytes
	mostUse    = 1024 // bytes, as text
)

// VersionUse is how a version was used in the last hour.
type VersionUse struct {
	Slot   int64            `json:"t,omitempty"` // number of the newest slot since 1970
	Counts []int64          `json:"n,omitempty"` // of the newest slot and the slots before it
	From   map[string]int64 `json:"a,omitempty"`
	Agents map[string]int64 `json:"u,omitempty"`
}

// ParseVersionUse parses the output of String. Invalid text gives the zero value.
func ParseVersionUse(text string) (u VersionUse) {
	if text == "" || json.Unmarshal([]byte(text), &u) != nil || len(u.Counts) > useSlots {
		return VersionUse{}
	}
	return u
}

// Requests returns the number of requests in the last hour.
func (u VersionUse) Requests(now time.Time) (n int64) {
	for _, c := range u.at(now).Counts {
		n = SatAdd(n, c)
	}
	return n
}

// Plus returns u with later use added.
func (u VersionUse) Plus(more SecretUse) VersionUse {
	u = u.at(more.At)
	if len(u.Counts) == 0 {
		u.Counts = []int64{0}
	}
	u.Counts[0] = SatAdd(u.Counts[0], more.Requests)
	u.From, u.Agents = topOf(u.From, more.From), topOf(u.Agents, more.Agents)
	return u
}

// at returns u with its slots moved so that the newest ends at an instant. After an
// hour without requests nothing is left.
func (u VersionUse) at(now time.Time) VersionUse {
	slot := now.Unix() / int64(useSlot/time.Second)
	passed := slot - u.Slot
	switch {
	case passed <= 0 && u.Slot > 0:
		u.Counts = slices.Clone(u.Counts)
		return u
	case u.Slot == 0 || passed >= useSlots:
		return VersionUse{Slot: slot}
	}
	counts := append(make([]int64, passed), u.Counts...)
	u.Slot, u.Counts = slot, counts[:min(len(counts), useSlots)]
	return u
}

// topOf adds up two sets of counts and keeps the most frequent names.
func topOf(have, more map[string]int64) map[string]int64 {
	sum := maps.Clone(have)
	if sum == nil {
		sum = make(map[string]int64, len(more))
	}
	for name, n := range more {
		if name = CleanText(name); len(name) > mostAgent {
			name = CleanText(name[:mostAgent])
		}
		sum[name] = SatAdd(sum[name], n)
	}
	for _, name := range ByCount(sum)[min(len(sum), mostCaller):] {
		delete(sum, name)
	}
	return sum
}

// ByCount returns the names in counts, largest count first.
func ByCount(counts map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

// String returns u in at most mostUse bytes: the least frequent callers are left out
// where there is no room.
func (u VersionUse) String() string {
	u.From, u.Agents = maps.Clone(u.From), maps.Clone(u.Agents)
	for {
		text, err := json.Marshal(u)
		if err != nil {
			return "" // not reached: numbers and texts can be encoded as JSON
		}
		if len(text) <= mostUse {
			return string(text)
		}
		least := u.From
		if len(u.Agents) >= len(u.From) {
			least = u.Agents
		}
		if len(least) == 0 {
			return ""
		}
		delete(least, ByCount(least)[len(least)-1])
	}
}

// Allowed refuses to rotate a key that was revoked or has too many valid secrets.
func (r Rotation) Allowed(k *Key, good int) error {
	switch {
	case !k.RevokedAt.IsZero():
		return &ConflictError{Detail: fmt.Sprintf("key %s is revoked, which is for good: make a new one", k.ID)}
	case good >= MostSecrets && r.Until.After(r.Now):
		return &ConflictError{Detail: fmt.Sprintf("key %s has %d secrets that are good: let them end first, or rotate without an overlap",
			k.ID, good)}
	}
	return nil
}

// Delivery is the place where each new secret of a key is written.
type Delivery struct {
	KeyID    KeyID
	Sink     string        // its name in the configuration
	Place    string        // within it
	Overlap  time.Duration // how long the previous secret stays valid
	Removing bool          // the key is archived or is no longer delivered: the copy is deleted
	// Seed is what the secret being delivered is derived from. It is drawn before
	// anything else is done, so that whoever continues after a crash derives the same
	// secret.
	Seed        string
	DueAt       time.Time // not before this, after a failure
	Failures    int
	Failure     string
	DeliveredAt time.Time
}

// Deliveries stores where secrets are written, and how far each delivery has come.
type Deliveries interface {
	// SetDelivery sets where the secret of a key is written; a new one is delivered at
	// once.
	SetDelivery(ctx context.Context, d Delivery, notes ...*Change) error
	// EndDelivery has the copy of a key's secret deleted. It returns *NotFoundError
	// where there is no delivery.
	EndDelivery(ctx context.Context, id KeyID, notes ...*Change) error
	// ListDeliveries lists the deliveries of a key, or of all keys, up to a thousand.
	ListDeliveries(ctx context.Context, id KeyID) ([]Delivery, error)
	// ClaimDelivery returns a delivery that is due and reserves it for the caller until
	// an instant. It stores seed if the delivery has none yet. It reports false if
	// nothing is due.
	ClaimDelivery(ctx context.Context, now, until time.Time, seed string) (Delivery, bool, error)
	// FinishDelivery records that a version was written: the previous ones end at
	// r.Until. If there is a newer version by now, another delivery is due instead.
	FinishDelivery(ctx context.Context, number int, r Rotation, notes ...*Change) error
	// PostponeDelivery records that a delivery failed, and when it is due again.
	PostponeDelivery(ctx context.Context, id KeyID, failure string, due time.Time) error
	// ForgetDelivery records that the copy was deleted.
	ForgetDelivery(ctx context.Context, id KeyID, notes ...*Change) error
}

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

// SecretVersion is one of the secrets that a key has had. The newest is the
// key's; older ones are good for a while longer.
type SecretVersion struct {
	Number     int
	Display    string
	CreatedAt  time.Time
	ValidUntil time.Time     // zero: no end was set
	Quiet      time.Duration // it ends once it was not used for so long; 0: it does not
	LastUsedAt time.Time     // known only while several are good
	Use        VersionUse
}

// SecretState is by which of its secrets a key was found.
type SecretState struct {
	Number int
	Until  time.Time     // zero: no end was set
	Quiet  time.Duration // it ends once it was not used for so long
	Shared bool          // other secrets of the key are good, too
}

// Old reports a secret that a newer one has replaced.
func (s SecretState) Old() bool { return !s.Until.IsZero() || s.Quiet > 0 }

// Ends is when a secret that was replaced ends at the earliest, if it is used at an instant;
// zero: no end was set.
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
	// Until is when the secrets before it end at the latest. It is zero where Quiet
	// says how long they must not have been used to end.
	Until time.Time
	Quiet time.Duration
	// Staged says that the secrets before it go on and are the key's own, until
	// FinishDelivery: it is good already, but nobody has it.
	Staged bool
	// Once names the rotation: the same one again changes nothing. "" means none.
	Once string
	Now  time.Time
}

// Rotated is a rotation that was done, or had been done before.
type Rotated struct {
	Key     Key
	Number  int // of the new version
	Existed bool
}

// Handover is a link that shows a new secret of a key once.
type Handover struct {
	Token     [32]byte // a hash of the token in the link
	KeyID     KeyID
	By        string
	CreatedAt time.Time
	ExpiresAt time.Time
	// Overlap is how long the secrets before the new one stay good after it was shown.
	Overlap  time.Duration
	OpenedAt time.Time
}

// Secrets keeps the versions of keys' secrets.
type Secrets interface {
	// ListSecrets lists the versions of a key, the newest first.
	ListSecrets(ctx context.Context, id KeyID) ([]SecretVersion, error)
	// RotateSecret adds a version and lets those before it end. It refuses, with a
	// *ConflictError, a key that is revoked or has too many that are good.
	RotateSecret(ctx context.Context, r Rotation, notes ...*Change) (Rotated, error)
	// OfferSecret stores a hand-over, in place of any other of the key.
	OfferSecret(ctx context.Context, h Handover, notes ...*Change) error
	// ListHandovers lists the hand-overs of a key that are good.
	ListHandovers(ctx context.Context, id KeyID, now time.Time) ([]Handover, error)
	// TakeSecret opens the hand-over with a token and rotates the key with r, whose
	// KeyID and Until it fills in. ErrNoHandover if there is none that is good.
	TakeSecret(ctx context.Context, token [32]byte, r Rotation, notes ...*Change) (Rotated, error)
	// EndHandover ends the hand-over with a token, so that nobody can open it any more, and
	// says whose it was; it is the object of notes. ErrNoHandover if there is none that is good.
	EndHandover(ctx context.Context, token [32]byte, now time.Time, notes ...*Change) (KeyID, error)
	// EndQuietSecrets ends the versions that were not used for as long as they say,
	// and lists their keys.
	EndQuietSecrets(ctx context.Context, now time.Time) ([]KeyID, error)
	// NoteSecretUse adds to how versions were used.
	NoteSecretUse(ctx context.Context, uses []SecretUse) error
}

// MostSecrets is how many secrets of one key may be good at once.
const MostSecrets = 8

// SecretUse is how a version was used since that was last stored.
type SecretUse struct {
	KeyID    KeyID
	Number   int
	At       time.Time // the last time
	Requests int64
	From     map[string]int64 // requests by address, of a version that is old
	Agents   map[string]int64 // and by user agent
}

// What is kept of the use of a version: requests in twelve slots of five minutes,
// and the addresses and user agents that came most often.
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
	Counts []int64          `json:"n,omitempty"` // of the newest slot and those before it
	From   map[string]int64 `json:"a,omitempty"`
	Agents map[string]int64 `json:"u,omitempty"`
}

// ParseVersionUse reads what String wrote. What it cannot read is nothing.
func ParseVersionUse(text string) (u VersionUse) {
	if text == "" || json.Unmarshal([]byte(text), &u) != nil || len(u.Counts) > useSlots {
		return VersionUse{}
	}
	return u
}

// Requests are those of the last hour.
func (u VersionUse) Requests(now time.Time) (n int64) {
	for _, c := range u.at(now).Counts {
		n = SatAdd(n, c)
	}
	return n
}

// Plus is u with what was used since.
func (u VersionUse) Plus(more SecretUse) VersionUse {
	u = u.at(more.At)
	if len(u.Counts) == 0 {
		u.Counts = []int64{0}
	}
	u.Counts[0] = SatAdd(u.Counts[0], more.Requests)
	u.From, u.Agents = topOf(u.From, more.From), topOf(u.Agents, more.Agents)
	return u
}

// at is u in the slots that end at an instant. After a quiet hour nothing is left
// of it.
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

// topOf adds up and keeps those that came most often.
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

// ByCount are the names of counts, the largest first.
func ByCount(counts map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

// String is u in at most mostUse bytes: the callers that came least often are left
// out where there is no room.
func (u VersionUse) String() string {
	u.From, u.Agents = maps.Clone(u.From), maps.Clone(u.Agents)
	for {
		text, err := json.Marshal(u)
		if err != nil {
			return "" // not reached: numbers and texts have a JSON form
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

// Allowed refuses to rotate a key that has ended, or of which too many secrets are
// good.
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

// Delivery is where the secret of a key is written whenever it is new.
type Delivery struct {
	KeyID    KeyID
	Sink     string        // its name in the configuration
	Place    string        // within it
	Overlap  time.Duration // how long the secret before it stays good
	Removing bool          // the key is archived, or is not to be delivered any more: the copy is deleted
	// Seed is what the secret that is being delivered is made from. It is drawn before
	// anything else is done, so that whoever goes on after a crash comes to the same one.
	Seed        string
	DueAt       time.Time // not before, after a failure
	Failures    int
	Failure     string
	DeliveredAt time.Time
}

// Deliveries keeps where secrets are written, and how far that has come.
type Deliveries interface {
	// SetDelivery says where the secret of a key is written, a new one at once.
	SetDelivery(ctx context.Context, d Delivery, notes ...*Change) error
	// EndDelivery has the copy of a key's secret deleted. *NotFoundError where there is none.
	EndDelivery(ctx context.Context, id KeyID, notes ...*Change) error
	// ListDeliveries lists those of a key, or all, up to a thousand.
	ListDeliveries(ctx context.Context, id KeyID) ([]Delivery, error)
	// ClaimDelivery finds one that is due and keeps others from it until an instant. seed
	// is taken where it has none. Without any it reports false.
	ClaimDelivery(ctx context.Context, now, until time.Time, seed string) (Delivery, bool, error)
	// FinishDelivery says that a version was written: those before it end with r.Until.
	// Where there is a newer one meanwhile, another delivery is due instead.
	FinishDelivery(ctx context.Context, number int, r Rotation, notes ...*Change) error
	// PostponeDelivery says that one failed, and when it is due again.
	PostponeDelivery(ctx context.Context, id KeyID, failure string, due time.Time) error
	// ForgetDelivery says that the copy is deleted.
	ForgetDelivery(ctx context.Context, id KeyID, notes ...*Change) error
}

package manage

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"tallyroute/billing"
)

// DefaultOverlap is how long the old secret of a key stays valid by default.
const DefaultOverlap = 24 * time.Hour

// Limits on rotations and hand-overs.
const (
	mostOverlap  = 90 * 24 * time.Hour
	leastQuiet   = time.Minute
	mostHandover = 30 * 24 * time.Hour
	// retold is how long a repeated rotation shows its secret again.
	retold = 24 * time.Hour
)

// RotateRequest says how a key gets a new secret.
type RotateRequest struct {
	Overlap time.Duration // how long the old one stays valid; 0 ends it at once
	// UntilUnused instead ends the old one once it hasn't been used for this long. With 0,
	// Overlap applies.
	UntilUnused time.Duration
	// Once is the client's idempotency key of the rotation: repeating it changes nothing
	// and shows the same secret.
	Once string
}

func (r RotateRequest) check() error {
	var faults []error
	if r.Overlap < 0 || r.Overlap > mostOverlap {
		faults = append(faults, invalid("overlap", "must be between 0s and %s", Span(mostOverlap)))
	}
	if r.UntilUnused != 0 && (r.UntilUnused < leastQuiet || r.UntilUnused > mostOverlap) {
		faults = append(faults, invalid("until_unused", "must be between %s and %s", leastQuiet, Span(mostOverlap)))
	}
	if len(r.Once) > maxTag {
		faults = append(faults, invalid("Idempotency-Key", "must have at most %d bytes", maxTag))
	}
	return errors.Join(faults...)
}

// NewSecret is a new secret of a key, and its version. Secret is empty if the rotation was
// too long ago to show it again.
type NewSecret struct {
	Key     billing.Key
	Secret  billing.Secret
	Number  int
	Existed bool
}

// RotateKey gives a key a new secret. Its id, limits, counters and history stay.
func (a Actions) RotateKey(ctx context.Context, id billing.KeyID, r RotateRequest, by By) (NewSecret, error) {
	if err := errors.Join(noSecret(string(id)), r.check(), by.check()); err != nil {
		return NewSecret{}, err
	}
	k, err := a.Key(ctx, id)
	if err == nil {
		err = a.shown(ctx, &k)
	}
	if err != nil {
		return NewSecret{}, err
	}
	source, once := rand.Reader, ""
	if r.Once != "" {
		if source, err = a.derived(id, r.Once); err != nil {
			return NewSecret{}, err
		}
		once = digestOf(r.Once)
	}
	secret, err := billing.NewSecret(k.Environment, source)
	if err != nil {
		return NewSecret{}, err
	}
	rotation := a.rotation(secret)
	rotation.KeyID, rotation.Once, rotation.Quiet = id, once, r.UntilUnused
	note := a.note(by, "key.rotate", string(id))
	note.Detail = map[string]string{"until_unused": Span(r.UntilUnused)}
	if r.UntilUnused == 0 {
		rotation.Until = rotation.Now.Add(r.Overlap)
		note.Detail = map[string]string{"overlap": Span(r.Overlap)}
	}
	done, err := a.Store.RotateSecret(ctx, rotation, note)
	if err != nil {
		return NewSecret{}, err
	}
	fresh := NewSecret{Key: done.Key, Secret: secret, Number: done.Number, Existed: done.Existed}
	if done.Existed {
		return a.retell(ctx, fresh)
	}
	return fresh, nil
}

func (a Actions) rotation(s billing.Secret) billing.Rotation {
	return billing.Rotation{Hash: s.Hash(a.Pepper), Display: s.Display(), Now: a.now().Truncate(time.Microsecond)}
}

// derived returns the source from which the secret of a named rotation is generated, so
// that every repetition gets the same one. This takes both the pepper and the name.
func (a Actions) derived(id billing.KeyID, name string) (io.Reader, error) {
	seed := a.Pepper.Derive("tallyroute rotation")
	stream, err := hkdf.Key(sha256.New, seed[:], nil, string(id)+"\x00"+name, 1024)
	return bytes.NewReader(stream), err
}

// retell returns an earlier rotation: its secret is shown again for a while.
func (a Actions) retell(ctx context.Context, s NewSecret) (NewSecret, error) {
	versions, err := a.Store.ListSecrets(ctx, s.Key.ID)
	if err != nil {
		return NewSecret{}, err
	}
	for _, v := range versions {
		if v.Number == s.Number && a.now().Before(v.CreatedAt.Add(retold)) {
			return s, nil
		}
	}
	s.Secret = billing.Secret{}
	return s, nil
}

// Versions returns the secrets that a key has had, newest first, and its hand-overs.
func (a Actions) Versions(ctx context.Context, id billing.KeyID) ([]billing.SecretVersion, []billing.Handover, error) {
	versions, err := a.Store.ListSecrets(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	pending, err := a.Store.ListHandovers(ctx, id, a.now())
	return versions, pending, err
}

// VersionView is a version of a key's secret in JSON.
type VersionView struct {
	Version      int          `json:"version"`
	Display      string       `json:"display"`
	CreatedAt    *string      `json:"created_at"`
	ValidUntil   *string      `json:"valid_until"` // null: no end is set
	UntilUnused  *string      `json:"until_unused"`
	LastUsedAt   *string      `json:"last_used_at"`
	LastHour     int64        `json:"requests_last_hour"`
	SharePercent *string      `json:"share_percent"` // of the key's requests in the last hour; null if unknown
	Addresses    []CallerView `json:"addresses"`     // that used an old version in the last hour, most frequent first
	Agents       []CallerView `json:"user_agents"`
}

// CallerView says who used a version, and how often.
type CallerView struct {
	Name     string `json:"name"`
	Requests int64  `json:"requests"`
}

// ViewVersions converts versions to JSON form.
func ViewVersions(versions []billing.SecretVersion, now time.Time) []VersionView {
	var all int64
	for _, v := range versions {
		all += v.Use.Requests(now)
	}
	views := make([]VersionView, len(versions))
	for i, v := range versions {
		n := v.Use.Requests(now)
		views[i] = VersionView{
			Version: v.Number, Display: v.Display, CreatedAt: Instant(v.CreatedAt), ValidUntil: Instant(v.ValidUntil),
			LastUsedAt: Instant(v.LastUsedAt), LastHour: n, Addresses: callers(v.Use.From), Agents: callers(v.Use.Agents),
		}
		if v.Quiet > 0 {
			views[i].UntilUnused = TextOrNull(Span(v.Quiet))
		}
		if all > 0 {
			share := fmt.Sprintf("%d.%d", n*100/all, n*1000/all%10)
			views[i].SharePercent = &share
		}
	}
	return views
}

func callers(counts map[string]int64) []CallerView {
	list := make([]CallerView, 0, len(counts))
	for _, name := range billing.ByCount(counts) {
		list = append(list, CallerView{name, counts[name]})
	}
	return list
}

func tokenText(n int64) string { return fmt.Sprintf("%d tokens", n) }

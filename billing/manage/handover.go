package manage

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/governance"
)

// DefaultHandover is how long a hand-over is valid by default.
const DefaultHandover = 24 * time.Hour

// HandoverToken opens a hand-over. It is shown once, to the administrator who makes it, and
// is useless once it has been used.
type HandoverToken struct {
	Token     string
	ExpiresAt time.Time
}

// handoverPrefix is the prefix of hand-over tokens. It is followed by the environment of
// the future secret and the random part.
const handoverPrefix = "tr-handover-"

// HandOver makes a link that shows a new secret of a key once, within its lifetime. The
// secret is only made at that point: until then nobody has it. Earlier secrets stay valid
// for overlap from then on.
func (a Actions) HandOver(ctx context.Context, id billing.KeyID, life, overlap time.Duration, by By) (HandoverToken, error) {
	if life < time.Minute || life > mostHandover {
		return HandoverToken{}, invalid("handover_for", "must be between 1m and %s", Span(mostHandover))
	}
	if err := errors.Join(noSecret(string(id)), RotateRequest{Overlap: overlap}.check(), by.check()); err != nil {
		return HandoverToken{}, err
	}
	k, err := a.Key(ctx, id)
	if err == nil {
		err = errors.Join(notRevoked(&k), a.shown(ctx, &k))
	}
	if err != nil {
		return HandoverToken{}, err
	}
	return a.offer(ctx, k, life, overlap, by)
}

func (a Actions) offer(ctx context.Context, k billing.Key, life, overlap time.Duration, by By) (HandoverToken, error) {
	token, err := a.handoverToken(k, rand.Reader)
	if err != nil {
		return HandoverToken{}, err
	}
	return a.offerToken(ctx, k, token, life, overlap, by)
}

func (a Actions) handoverToken(k billing.Key, source io.Reader) (string, error) {
	var random [32]byte
	if _, err := io.ReadFull(source, random[:]); err != nil {
		return "", err
	}
	return handoverPrefix + k.Environment + "-" + base64.RawURLEncoding.EncodeToString(random[:]), nil
}

func (a Actions) offerToken(ctx context.Context, k billing.Key, token string, life, overlap time.Duration, by By) (HandoverToken, error) {
	note := a.note(by, "key.hand_over", string(k.ID))
	t := HandoverToken{token, note.At.Add(life)}
	note.Detail = map[string]string{"expires_at": *Instant(t.ExpiresAt)}
	return t, a.Store.OfferSecret(ctx, billing.Handover{
		Token: a.tokenHash(t.Token), KeyID: k.ID, By: note.Actor, CreatedAt: note.At, ExpiresAt: t.ExpiresAt, Overlap: overlap,
	}, note)
}

// tokenHash returns the hash under which a token is stored.
func (a Actions) tokenHash(token string) [32]byte {
	seed := a.Pepper.Derive("tallyroute hand-over")
	return sha256.Sum256(append(seed[:], token...))
}

// CreateKeyFor makes a key without a secret, and a link that shows its first one once.
// Repeating the request under the same name returns the same link, or none once it has been
// opened.
func (a Actions) CreateKeyFor(ctx context.Context, r KeyRequest, life time.Duration, by By) (NewSecret, HandoverToken, error) {
	if life < time.Minute || life > mostHandover {
		return NewSecret{}, HandoverToken{}, invalid("handover_for", "must be between 1m and %s", Span(mostHandover))
	}
	made, err := a.madeBefore(ctx, r, by)
	if err == nil && !made.Existed {
		made.Key, err = a.newKey(ctx, r, by)
		if err == nil {
			made.Key, err = a.storeKey(ctx, made.Key, [32]byte{}, by)
		}
		if r.Once.Name != "" && errors.Is(err, billing.ErrDuplicate) { // by the same request at another router
			made, err = a.madeBefore(ctx, r, by)
		}
	}
	if err != nil {
		return NewSecret{}, HandoverToken{}, err
	}
	if r.Once.Name == "" {
		token, err := a.offer(ctx, made.Key, life, 0, by)
		return made, token, err
	}
	token, err := a.offerOnce(ctx, made, r, life, by)
	return made, token, err
}

// offerOnce makes the link of a named request, unless that was done before. There may have
// been a crash between creating the key and its link.
func (a Actions) offerOnce(ctx context.Context, made NewSecret, r KeyRequest, life time.Duration, by By) (HandoverToken, error) {
	source, err := a.derived("hand-over", by.Actor+"\x00"+r.Once.Name)
	if err != nil {
		return HandoverToken{}, err
	}
	pending, err := a.Store.ListHandovers(ctx, made.Key.ID, a.now())
	if err != nil {
		return HandoverToken{}, err
	}
	token, err := a.handoverToken(made.Key, source)
	if err != nil {
		return HandoverToken{}, err
	}
	for _, h := range pending {
		if h.Token == a.tokenHash(token) {
			return HandoverToken{token, h.ExpiresAt}, nil
		}
	}
	if len(pending) > 0 || !made.Key.RotatedAt.IsZero() || a.now().After(made.Key.CreatedAt.Add(life)) {
		return HandoverToken{}, nil
	}
	return a.offerToken(ctx, made.Key, token, life, 0, by)
}

// TakeHandover opens a hand-over and shows the secret that it makes. Whoever has the token
// may do so: there is no other check. It returns billing.ErrNoHandover if the hand-over has
// expired, was opened before, or never existed.
func (a Actions) TakeHandover(ctx context.Context, token, from string) (NewSecret, error) {
	rest, ok := strings.CutPrefix(token, handoverPrefix)
	env, _, _ := strings.Cut(rest, "-")
	if !ok || len(token) > maxTag || !slices.Contains(governance.Environments(), env) {
		return NewSecret{}, billing.ErrNoHandover
	}
	secret, err := billing.NewSecret(env, rand.Reader)
	if err != nil {
		return NewSecret{}, err
	}
	note := a.note(By{Actor: "hand-over", Reason: "opened from " + from}, "key.rotate", "")
	done, err := a.Store.TakeSecret(ctx, a.tokenHash(token), a.rotation(secret), note)
	return NewSecret{Key: done.Key, Secret: secret, Number: done.Number}, err
}

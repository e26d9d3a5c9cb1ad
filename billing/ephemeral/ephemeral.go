// Package ephemeral makes temporary keys: signed texts that give the same access as the key
// that they were made with, narrowed, for at most an hour. Whether one is valid can be seen
// from its text alone; whether its key is still in force is checked as for any other
// request.
package ephemeral

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
)

// Limits of temporary keys.
const (
	Longest = time.Hour // maximum lifetime
	MaxText = 1 << 10   // maximum length, in bytes
	// most is how many are cached, so that they needn't be parsed again.
	most = 4096
)

// prefix is the prefix of temporary keys; the JSON of a Key and a MAC follow, in base64url.
const prefix = "sk-tr-tmp-"

// ErrTooLong refuses to make a text longer than MaxText.
var ErrTooLong = fmt.Errorf("ephemeral: the temporary key would have more than %d bytes", MaxText)

// ErrExpired means that a temporary key has expired.
var ErrExpired = errors.New("ephemeral: expired")

// Key is the content of a temporary key.
type Key struct {
	ID    string        `json:"i"` // "tok_" and a ULID
	KeyID billing.KeyID `json:"k"` // the key that it is charged to
	// Secret is the hash of the secret that it was made with, and whose end also ends it.
	// Without one, it is bound to the key regardless of its secrets.
	Secret  []byte            `json:"s,omitempty"`
	Ends    int64             `json:"e"` // in seconds since 1970
	Policy  *policy.Policy    `json:"p,omitempty"`
	Tags    map[string]string `json:"t,omitempty"` // for its requests; clients can't change them
	EndUser string            `json:"u,omitempty"` // likewise
	Tokens  *int64            `json:"n,omitempty"` // that it may use
	Money   *billing.Money    `json:"m,omitempty"`
	// Issuer and Subject are the identity that it was exchanged for, if any.
	Issuer  string `json:"a,omitempty"`
	Subject string `json:"b,omitempty"`
}

// Until returns when it expires.
func (k *Key) Until() time.Time { return time.Unix(k.Ends, 0).UTC() }

// Allotment returns what it may use; nil if that isn't limited.
func (k *Key) Allotment() *billing.Allotment {
	if k.Tokens == nil && k.Money == nil {
		return nil
	}
	return &billing.Allotment{ID: k.ID, KeyID: k.KeyID, Tokens: k.Tokens, Money: k.Money, Until: k.Until()}
}

// Is reports whether a text looks like a temporary key.
func Is(text string) bool { return strings.HasPrefix(text, prefix) }

// Ring makes and opens temporary keys. It is safe for concurrent use.
type Ring struct {
	pepper billing.Pepper
	key    [32]byte
	opened *Recent[*Opened]
}

// New returns the ring for a pepper: routers with the same pepper open each other's keys.
func New(p billing.Pepper) *Ring {
	return &Ring{pepper: p, key: p.Derive("tallyroute temporary keys"), opened: NewRecent[*Opened](most)}
}

// Seal returns the text of a temporary key that ends with the secret that it is made with.
func (r *Ring) Seal(k Key, with billing.Secret) (string, error) {
	hash := with.Hash(r.pepper)
	k.Secret = hash[:]
	return r.SealKey(k)
}

// SealKey returns the text of a temporary key that ends with its key, regardless of the
// key's secrets.
func (r *Ring) SealKey(k Key) (string, error) {
	text, err := json.Marshal(k) //nolint:gosec // it is a hash
	if err != nil {
		return "", fmt.Errorf("ephemeral: %w", err)
	}
	sealed := prefix + base64.RawURLEncoding.EncodeToString(r.sign(text))
	if len(sealed) > MaxText {
		return "", ErrTooLong
	}
	return sealed, nil
}

// sign returns text with its MAC appended.
func (r *Ring) sign(text []byte) []byte {
	mac := hmac.New(sha256.New, r.key[:])
	_, _ = mac.Write(text) // writing to a hash never fails
	return mac.Sum(text[:len(text):len(text)])
}

// Open opens a temporary key. It returns billing.ErrMalformedKey if nobody with this pepper
// made it, and ErrExpired if it has expired.
func (r *Ring) Open(text string, now time.Time) (*Opened, error) {
	o, known := r.opened.Of(text)
	if !known {
		key, err := r.read(text)
		if err != nil {
			return nil, err
		}
		o = Open(key)
		r.opened.Remember(text, o, func(o *Opened) bool { return o.InForce(now) != nil })
	}
	return o, o.InForce(now)
}

func (r *Ring) read(text string) (Key, error) {
	if len(text) > MaxText || strings.ContainsAny(text, "\r\n") { // base64 ignores line breaks
		return Key{}, billing.ErrMalformedKey
	}
	signed, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(text, prefix))
	body := len(signed) - sha256.Size
	if err != nil || body < 0 || !hmac.Equal(r.sign(signed[:body])[body:], signed[body:]) {
		return Key{}, billing.ErrMalformedKey
	}
	var k Key
	if err := json.Unmarshal(signed[:body], &k); err != nil {
		return Key{}, billing.ErrMalformedKey
	}
	return k, nil
}

// Opened is a temporary key that is valid, as far as its text shows. Nil narrows nothing.
type Opened struct {
	Key
	narrowed atomic.Pointer[narrowed]
}

// narrowed is a key and the result of narrowing it.
type narrowed struct{ of, key *billing.Key }

// Open wraps a temporary key that is known to be valid.
func Open(k Key) *Opened { return &Opened{Key: k} }

// InForce returns ErrExpired once the key has expired.
func (o *Opened) InForce(now time.Time) error {
	if now.Before(o.Until()) {
		return nil
	}
	return fmt.Errorf("%w on %s", ErrExpired, o.Until().Format(time.RFC3339))
}

// Child returns ErrExpired if o was made before k.TokensFrom, because the key that it was
// exchanged for has ended its older temporary keys.
func (o *Opened) Child(k *billing.Key) error {
	if o == nil || k.TokensFrom.IsZero() {
		return nil
	}
	if made, ok := billing.MadeAt(o.ID); !ok || !made.Before(k.TokensFrom) {
		return nil
	}
	return fmt.Errorf("%w: those that were made before %s have ended", ErrExpired, k.TokensFrom.UTC().Format(time.RFC3339))
}

// Parent returns a stand-in for the secret of the key that it was made with.
func (o *Opened) Parent() billing.Secret {
	if len(o.Secret) != sha256.Size {
		return billing.SecretOfKey(o.KeyID)
	}
	return billing.HashedSecret([32]byte(o.Secret))
}

// Tags on the rows of temporary keys. Clients can't send tags with this prefix.
const (
	TagID      = billing.OwnTags + "token"
	TagIssuer  = billing.TagIssuer
	TagSubject = billing.TagSubject
)

// Caused reports whether a row with the given tags belongs to a request made with this
// temporary key; a temporary key is shown no other rows.
func (o *Opened) Caused(tags map[string]string) bool { return o == nil || tags[TagID] == o.ID }

// Name returns a client's request name, made unique so that another key of the same parent
// can't get its answer.
func (o *Opened) Name(request string) string {
	if o == nil {
		return request
	}
	return o.ID + " " + request
}

// Narrow returns what may be done with a key by means of the temporary one. Neither
// changes.
func (o *Opened) Narrow(k *billing.Key) *billing.Key {
	if o == nil || k == nil {
		return k
	}
	last := o.narrowed.Load()
	if last != nil && last.of == k {
		return last.key
	}
	n := *k
	n.Policies.Temporary = o.Policy
	if last != nil && last.of.ID == k.ID && last.of.Version == k.Version {
		n.Rights = last.key.Rights
	} else {
		n.Rights = n.Policies.Compile(n.Facts())
	}
	n.Tags = o.tags(k.Tags)
	n.EndUser = o.EndUser
	if n.ExpiresAt.IsZero() || n.ExpiresAt.After(o.Until()) {
		n.ExpiresAt = o.Until()
	}
	n.Allotment = o.Allotment()
	o.narrowed.Store(&narrowed{of: k, key: &n})
	return &n
}

func (o *Opened) tags(of map[string]string) map[string]string {
	all := make(map[string]string, len(of)+len(o.Tags)+3)
	maps.Copy(all, o.Tags)
	maps.Copy(all, of)
	all[TagID] = o.ID
	if o.Issuer != "" {
		all[TagIssuer], all[TagSubject] = o.Issuer, o.Subject
	}
	return all
}

// Package envelope encrypts secrets that are stored in a database with a key that is not.
//
// Each secret is encrypted with a key of its own, and that key with the key-encryption key,
// both with AES-256-GCM. Changing the key-encryption key therefore rewrites only 60 bytes of
// each secret. Both encryptions are bound to what the secret is for: a sealed secret that was
// moved to another row can't be opened.
package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A sealed secret consists of a format byte, the ID of the key-encryption key, the secret's
// own key encrypted with that key, and the secret encrypted with its own key. In both
// ciphertexts, the nonce comes first and the tag last.
const (
	format   = 1
	keyBytes = 32
	idBytes  = 8
	nonce    = 12
	tag      = 16
	wrapped  = nonce + keyBytes + tag
	head     = 1 + idBytes
	least    = head + wrapped + nonce + tag
)

// The reasons why a sealed secret can't be opened.
var (
	ErrKey     = errors.New("envelope: a key is 32 bytes in base64 or in hex; make one with: tallyroute secrets key")
	ErrSealed  = errors.New("envelope: the sealed secret was changed, cut off, or moved from where it belongs")
	errNewKey  = errors.New("envelope: no random key could be generated")
	errForeign = errors.New("envelope: not a sealed secret of this format")
)

// UnknownKeyError reports a secret that was sealed with a key that is not available.
type UnknownKeyError struct{ ID string }

// Error gives the key's ID, which reveals nothing about the key.
func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("envelope: it is sealed under the key %s, which is not among secrets.encryption_key and "+
		"secrets.previous_encryption_key", e.ID)
}

// Key is a key-encryption key.
type Key struct {
	id   [idBytes]byte
	aead cipher.AEAD
}

// NewKey generates a key in the form that ParseKey reads.
func NewKey() (string, error) {
	key := make([]byte, keyBytes)
	if _, err := rand.Read(key); err != nil {
		return "", errNewKey
	}
	return base64.StdEncoding.EncodeToString(key), nil
}

// ParseKey reads a key in base64 or in hex.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	key, err := hex.DecodeString(text)
	if err != nil {
		standard := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
		key, err = base64.RawStdEncoding.DecodeString(standard)
	}
	if err != nil || len(key) != keyBytes {
		return Key{}, ErrKey
	}
	return FromBytes([keyBytes]byte(key))
}

// FromBytes returns the key with these bytes.
func FromBytes(key [32]byte) (k Key, err error) {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte("tallyroute key-encryption key id"))
	copy(k.id[:], mac.Sum(nil))
	k.aead, err = sealer(key[:])
	return k, err
}

// ID identifies the key and is not confidential.
func (k Key) ID() string { return hex.EncodeToString(k.id[:]) }

// Ring holds the key that seals, and others that only open. It is immutable.
type Ring struct {
	keys  []Key
	seals bool // the first one does
}

// NewRing returns a ring whose first key seals. Without keys, it can neither open nor seal.
func NewRing(keys ...Key) *Ring { return &Ring{keys, len(keys) > 0} }

// Opening returns a ring that opens with another key as well.
func (r *Ring) Opening(key Key) *Ring { return &Ring{append(slices.Clone(r.keys), key), r.seals} }

// ErrNoKey reports a ring without keys.
var ErrNoKey = errors.New("envelope: nothing can be stored without a key: set secrets.encryption_key")

// Seals reports whether there is a key to seal with.
func (r *Ring) Seals() bool { return r.seals }

// Seal encrypts a secret and binds it to what about names.
func (r *Ring) Seal(secret, about string) ([]byte, error) {
	if !r.Seals() {
		return nil, ErrNoKey
	}
	own := make([]byte, keyBytes)
	if _, err := rand.Read(own); err != nil {
		return nil, errNewKey
	}
	aead, err := sealer(own)
	if err != nil {
		return nil, err
	}
	blob := r.wrap(own, about)
	return aead.Seal(blob, nil, []byte(secret), []byte(about)), nil //nolint:gosec // it makes its own nonce
}

// wrap returns the head of a sealed secret: its own key, encrypted with the ring's key.
func (r *Ring) wrap(own []byte, about string) []byte {
	k := r.keys[0]
	blob := append([]byte{format}, k.id[:]...)
	return k.aead.Seal(blob, nil, own, bound(k.id[:], about)) //nolint:gosec // it makes its own nonce
}

// Open decrypts a secret that was sealed for what about names.
func (r *Ring) Open(blob []byte, about string) (string, error) {
	own, err := r.unwrap(blob, about)
	if err != nil {
		return "", err
	}
	aead, err := sealer(own)
	if err != nil {
		return "", err
	}
	secret, err := aead.Open(nil, nil, blob[head+wrapped:], []byte(about))
	if err != nil {
		return "", ErrSealed
	}
	return string(secret), nil
}

func (r *Ring) unwrap(blob []byte, about string) ([]byte, error) {
	if len(blob) < least || blob[0] != format {
		return nil, errForeign
	}
	id := blob[1:head]
	for _, k := range r.keys {
		if string(k.id[:]) != string(id) {
			continue
		}
		own, err := k.aead.Open(nil, nil, blob[head:head+wrapped], bound(id, about))
		if err != nil {
			return nil, ErrSealed
		}
		return own, nil
	}
	return nil, &UnknownKeyError{hex.EncodeToString(id)}
}

// Rekey reseals a secret with the key that seals now; changed is false if it already was.
func (r *Ring) Rekey(blob []byte, about string) (under []byte, changed bool, err error) {
	if !r.Seals() {
		return nil, false, ErrNoKey
	}
	own, err := r.unwrap(blob, about)
	if err != nil || string(blob[1:head]) == string(r.keys[0].id[:]) {
		return blob, false, err
	}
	return append(r.wrap(own, about), blob[head+wrapped:]...), true, nil
}

// KeyOf returns the ID of the key that a secret is sealed with; "" for anything else.
func KeyOf(blob []byte) string {
	if len(blob) < least || blob[0] != format {
		return ""
	}
	return hex.EncodeToString(blob[1:head])
}

func bound(id []byte, about string) []byte { return append(append([]byte{}, id...), about...) }

// sealer returns an AEAD that generates a nonce for each message and prepends it.
func sealer(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

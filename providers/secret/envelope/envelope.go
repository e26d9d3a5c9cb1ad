// Package envelope seals secrets that are kept in a database under a key that is not.
//
// Each secret is encrypted with a key of its own, and that key with the key-encryption
// key, both by AES-256-GCM. A change of the key-encryption key so rewrites 60 bytes of
// each, and what it is for goes into both: a sealed secret that was moved to another row
// does not open.
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
	"strings"
)

// A sealed secret is a byte for the format, the id of the key-encryption key, the secret's
// own key under it, and the secret under its own: nonces come first, tags last.
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

// The ways in which a sealed secret does not open.
var (
	ErrKey     = errors.New("envelope: a key is 32 bytes in base64 or in hex; make one with: tallyroute secrets key")
	ErrSealed  = errors.New("envelope: the sealed secret was changed, cut off, or moved from where it belongs")
	errNewKey  = errors.New("envelope: a key cannot be drawn")
	errForeign = errors.New("envelope: not a sealed secret of this format")
)

// UnknownKeyError is a secret that was sealed under a key that is not there.
type UnknownKeyError struct{ ID string }

// Error names the key by its id, which says nothing of it.
func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("envelope: it is sealed under the key %s, which is not among secrets.encryption_key and "+
		"secrets.previous_encryption_key", e.ID)
}

// Key is a key-encryption key.
type Key struct {
	id   [idBytes]byte
	aead cipher.AEAD
}

// NewKey draws a key, as ParseKey reads it.
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

// FromBytes is the key with these bytes.
func FromBytes(key [32]byte) (k Key, err error) {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte("tallyroute key-encryption key id"))
	copy(k.id[:], mac.Sum(nil))
	k.aead, err = sealer(key[:])
	return k, err
}

// ID tells keys apart and may be known to all.
func (k Key) ID() string { return hex.EncodeToString(k.id[:]) }

// Ring is the key that seals, and those that only open. It does not change.
type Ring struct{ keys []Key }

// NewRing is a ring whose first key seals. Without any, it opens and seals nothing.
func NewRing(keys ...Key) *Ring { return &Ring{keys} }

// ErrNoKey is a ring without a key.
var ErrNoKey = errors.New("envelope: nothing can be stored without a key: set secrets.encryption_key")

// Seals reports whether there is a key to seal with.
func (r *Ring) Seals() bool { return len(r.keys) > 0 }

// Seal seals a secret for what about names.
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

// wrap is the head of a sealed secret: its own key under the key of the ring.
func (r *Ring) wrap(own []byte, about string) []byte {
	k := r.keys[0]
	blob := append([]byte{format}, k.id[:]...)
	return k.aead.Seal(blob, nil, own, bound(k.id[:], about)) //nolint:gosec // it makes its own nonce
}

// Open is the secret that was sealed for what about names.
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

// Rekey is a sealed secret under the key that seals now; changed is false where it is.
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

// KeyOf is the id of the key that a secret is sealed under; "" of what is none.
func KeyOf(blob []byte) string {
	if len(blob) < least || blob[0] != format {
		return ""
	}
	return hex.EncodeToString(blob[1:head])
}

func bound(id []byte, about string) []byte { return append(append([]byte{}, id...), about...) }

// sealer draws a nonce for each secret and puts it in front.
func sealer(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

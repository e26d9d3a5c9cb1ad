package billing

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Pepper is the key under which secrets are hashed. It is kept apart from the
// database, so that a copy of the database opens nothing. It never prints.
type Pepper struct {
	redacted
	key *string
}

// pepperBytes is the minimum length of a pepper, and the length of a new one.
const pepperBytes = 32

// ErrPepper means that a text is too short to be a pepper.
var ErrPepper = errors.New("billing: a pepper needs at least 32 bytes, as base64, as hex or as they are")

// NewPepper draws a pepper from rand, which is crypto/rand.Reader outside tests.
func NewPepper(rand io.Reader) (Pepper, error) {
	key := make([]byte, pepperBytes)
	if _, err := io.ReadFull(rand, key); err != nil {
		return Pepper{}, fmt.Errorf("billing: draw a pepper: %w", err)
	}
	return pepper(key), nil
}

// ParsePepper decodes hex or base64 where either gives at least 32 bytes, and otherwise
// takes the text as it is. Surrounding spaces and line breaks are ignored.
func ParsePepper(s string) (Pepper, error) {
	s = strings.TrimSpace(s)
	if key, err := hex.DecodeString(s); err == nil && len(key) >= pepperBytes {
		return pepper(key), nil
	}
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	if key, err := base64.RawStdEncoding.DecodeString(standard); err == nil && len(key) >= pepperBytes {
		return pepper(key), nil
	}
	if len(s) < pepperBytes {
		return Pepper{}, ErrPepper
	}
	return pepper([]byte(s)), nil
}

func pepper(key []byte) Pepper {
	s := string(key)
	return Pepper{key: &s}
}

// Reveal returns the pepper in base64, as ParsePepper reads it, for writing to wherever
// it is kept.
func (p Pepper) Reveal() string {
	if p.key == nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(*p.key))
}

// Derive returns a secret for another purpose. The pepper cannot be worked out from it.
func (p Pepper) Derive(purpose string) [32]byte { return p.mac(purpose) }

// ID identifies a pepper and is not secret. A database remembers it, so that a wrong
// pepper is noticed before every key becomes unknown.
func (p Pepper) ID() string {
	sum := p.mac("tallyroute pepper id")
	return hex.EncodeToString(sum[:6])
}

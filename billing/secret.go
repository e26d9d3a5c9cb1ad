package billing

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
)

// Secret is the text of a virtual key or an admin token:
//
//	sk-tr-<environment>-<43 characters, 256 random bits><6 characters, checksum>
//
// Both parts are base62. The checksum is the CRC-32 of everything before it, so that a
// mistyped or invented key is refused before anything is looked up. A Secret never
// prints; Reveal is the only way to get its text.
type Secret struct {
	redacted
	// A pointer, because fmt prints unexported fields of other structs without calling
	// their methods.
	text *string
	// stands identifies the secret when its text is not known.
	stands *standIn
}

// standIn is how the key of a secret is looked up when the secret's text is not known.
type standIn struct {
	hash [32]byte
	key  KeyID // looked up by its id; "" means by the hash
}

// HashedSecret returns a stand-in for a secret of which only the hash is known.
func HashedSecret(hash [32]byte) Secret { return Secret{stands: &standIn{hash: hash}} }

// SecretOfKey returns a stand-in for the secret of a key, whichever it currently has.
func SecretOfKey(id KeyID) Secret {
	return Secret{stands: &standIn{hash: sha256.Sum256([]byte("tallyroute key " + id)), key: id}}
}

const (
	secretPrefix   = "sk-tr-"
	secretBody     = 43
	secretChecksum = 6
	secretTail     = secretBody + secretChecksum

	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// EnvironmentAdmin is the environment of admin tokens, which are secrets of the same
// form but give no access to models.
const EnvironmentAdmin = "admin"

var environments = []string{"prod", "staging", "dev", EnvironmentAdmin}

// NewSecret draws a secret from rand, which is crypto/rand.Reader outside tests.
func NewSecret(env string, rand io.Reader) (Secret, error) {
	if !slices.Contains(environments, env) {
		return Secret{}, fmt.Errorf("billing: no environment %q, must be prod, staging or dev", env)
	}
	text := make([]byte, 0, len(secretPrefix)+len("staging")+1+secretTail)
	text = append(text, secretPrefix+env+"-"...)
	full := len(text) + secretBody
	var random [64]byte
	for len(text) < full {
		if _, err := io.ReadFull(rand, random[:]); err != nil {
			return Secret{}, fmt.Errorf("billing: draw a secret: %w", err)
		}
		for _, b := range random {
			// 248 is the last multiple of 62 in a byte: using higher values would make
			// some characters more frequent than others.
			if b < 248 && len(text) < full {
				text = append(text, base62[b%62])
			}
		}
	}
	sum := checksum(string(text))
	s := string(append(text, sum[:]...))
	return Secret{text: &s}, nil
}

// ParseSecret checks the form and the checksum of s, which may be any bytes, and
// returns ErrMalformedKey for an invalid secret.
func ParseSecret(s string) (Secret, error) {
	rest, ok := strings.CutPrefix(s, secretPrefix)
	if !ok || len(rest) <= secretTail {
		return Secret{}, ErrMalformedKey
	}
	tail := len(rest) - secretTail
	env := rest[:tail-1]
	if rest[tail-1] != '-' || !slices.Contains(environments, env) {
		return Secret{}, ErrMalformedKey
	}
	for i := tail; i < len(rest); i++ {
		if !isBase62(rest[i]) {
			return Secret{}, ErrMalformedKey
		}
	}
	sum := checksum(s[:len(s)-secretChecksum])
	if s[len(s)-secretChecksum:] != string(sum[:]) {
		return Secret{}, ErrMalformedKey
	}
	text := strings.Clone(s) // s may be part of something larger
	return Secret{text: &text}, nil
}

func isBase62(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// checksum returns the CRC-32 of s in base62. It is computed byte by byte because
// crc32.ChecksumIEEE would cost an allocation for every wrong key.
func checksum(s string) (sum [secretChecksum]byte) {
	crc := ^uint32(0)
	for i := range len(s) {
		crc = crc32.IEEETable[byte(crc)^s[i]] ^ crc>>8
	}
	crc = ^crc
	for i := len(sum) - 1; i >= 0; i-- {
		sum[i] = base62[crc%62]
		crc /= 62
	}
	return sum
}

// Reveal returns the text itself. It is shown once, to the person the key was created
// for.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Environment returns prod, staging, dev or admin; "" for the zero Secret.
func (s Secret) Environment() string {
	env := strings.TrimPrefix(s.Reveal(), secretPrefix)
	return env[:max(0, len(env)-secretTail-1)]
}

// Hash returns what stores keep in place of the secret: its HMAC-SHA256 under p.
func (s Secret) Hash(p Pepper) [32]byte {
	if s.stands != nil {
		return s.stands.hash
	}
	return p.mac(s.Reveal())
}

// Equal compares in constant time.
func (s Secret) Equal(other Secret) bool {
	return s.stands == nil && other.stands == nil && subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// Display returns enough to recognise the secret and too little to use it:
// "sk-tr-prod-Ab12…x7qd".
func (s Secret) Display() string {
	text := s.Reveal()
	if text == "" {
		return ""
	}
	return text[:len(text)-secretTail+4] + "…" + s.Last4()
}

// Last4 returns the last four characters, for messages to the holder.
func (s Secret) Last4() string {
	text := s.Reveal()
	return text[max(0, len(text)-4):]
}

// mac returns the HMAC of text, so that the key of p is used in one place only.
func (p Pepper) mac(text string) (sum [32]byte) {
	var key string
	if p.key != nil {
		key = *p.key
	}
	m := hmac.New(sha256.New, []byte(key))
	_, _ = io.WriteString(m, text) // a hash never fails
	m.Sum(sum[:0])
	return sum
}

// redacted is embedded in values that must not be printed, by whatever means.
type redacted struct{}

const redactedText = "[redacted]"

// String returns a placeholder.
func (redacted) String() string { return redactedText }

// GoString returns a placeholder.
func (redacted) GoString() string { return redactedText }

// Format writes a placeholder, whatever the verb.
func (redacted) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redactedText) }

// MarshalText returns a placeholder.
func (redacted) MarshalText() ([]byte, error) { return []byte(redactedText), nil }

// MarshalJSON returns a placeholder.
func (redacted) MarshalJSON() ([]byte, error) { return []byte(`"` + redactedText + `"`), nil }

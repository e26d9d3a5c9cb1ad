package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tallyroute/billing"
)

// Checkpoint is a signed statement of what the log was at an instant. Whoever keeps one
// elsewhere can later prove that nothing before it was changed.
type Checkpoint struct {
	Ledger    string `json:"ledger"` // the id of the database
	Seq       int64  `json:"seq"`
	Hash      string `json:"hash"`
	At        string `json:"at"`
	KeyID     string `json:"key_id"`    // the first 16 characters of the public key
	Signature string `json:"signature"` // Ed25519 over the lines of signedText, in base64
}

// signedText returns the text that is signed.
func (c Checkpoint) signedText() []byte {
	return fmt.Appendf(nil, "tallyroute audit checkpoint 1\n%s\n%d\n%s\n%s\n", c.Ledger, c.Seq, c.Hash, c.At)
}

// SigningKey signs checkpoints. It is never printed.
type SigningKey struct{ private ed25519.PrivateKey }

var errSigningKey = errors.New("not a signing key: want the 32 bytes of an Ed25519 seed in base64, as printed by " +
	"tallyroute audit signing-key")

// ParseSigningKey parses the seed of a key in base64.
func ParseSigningKey(text string) (SigningKey, error) {
	seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(seed) != ed25519.SeedSize {
		return SigningKey{}, errSigningKey
	}
	return SigningKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// String hides the key.
func (SigningKey) String() string { return "[signing key]" }

// GoString hides the key.
func (SigningKey) GoString() string { return "[signing key]" }

// Public returns the key that checkpoints are verified with, in base64.
func (k SigningKey) Public() string {
	public, _ := k.private.Public().(ed25519.PublicKey)
	return base64.StdEncoding.EncodeToString(public)
}

// keyID returns the id of a public key: its first 16 characters.
func keyID(public string) string {
	public = strings.TrimSpace(public)
	return public[:min(len(public), 16)]
}

// Sign makes a checkpoint of a log that ends with last.
func (k SigningKey) Sign(ledger string, last billing.AuditMark, at time.Time) Checkpoint {
	c := Checkpoint{Ledger: ledger, Seq: last.Seq, Hash: last.Hash, At: at.UTC().Format(time.RFC3339), KeyID: keyID(k.Public())}
	c.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, c.signedText()))
	return c
}

var (
	errPublicKey = errors.New("not a public key: want the 32 bytes of an Ed25519 key in base64")
	errSignature = errors.New("the signature of the checkpoint is not by this key, or the checkpoint was changed")
)

// Open parses a checkpoint and verifies it with a public key in base64.
func Open(text []byte, public string) (Checkpoint, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(public))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return Checkpoint{}, errPublicKey
	}
	var c Checkpoint
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("not a checkpoint: %w", err)
	}
	signature, err := base64.StdEncoding.DecodeString(c.Signature)
	if err != nil || !ed25519.Verify(key, c.signedText(), signature) {
		return c, errSignature
	}
	if c.KeyID != keyID(public) {
		return c, errSignature // unverified, so its contents can't be trusted
	}
	return c, nil
}

// Mark returns what the checkpoint vouches for.
func (c Checkpoint) Mark() billing.AuditMark { return billing.AuditMark{Seq: c.Seq, Hash: c.Hash} }

// Evidence is a signed text for somebody who verifies it without the database.
type Evidence struct {
	What      string `json:"what"` // such as "governance report"
	Text      string `json:"text"`
	SHA256    string `json:"sha256"`
	KeyID     string `json:"key_id"`
	Signature string `json:"signature"` // Ed25519 over the lines of signedText, in base64
}

func (e Evidence) signedText() []byte {
	return fmt.Appendf(nil, "tallyroute evidence 1\n%s\n%s\n", e.What, e.SHA256)
}

// SignText signs a text as evidence.
func (k SigningKey) SignText(what, text string) Evidence {
	e := Evidence{What: what, Text: text, SHA256: digest(text), KeyID: keyID(k.Public())}
	e.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, e.signedText()))
	return e
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

var errEvidence = errors.New("the evidence is not signed by this key, or was changed")

// OpenEvidence parses evidence and verifies it with a public key in base64.
func OpenEvidence(text []byte, public string) (Evidence, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(public))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return Evidence{}, errPublicKey
	}
	var e Evidence
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("not evidence: %w", err)
	}
	signature, err := base64.StdEncoding.DecodeString(e.Signature)
	if err != nil || e.SHA256 != digest(e.Text) || !ed25519.Verify(key, e.signedText(), signature) {
		return Evidence{}, errEvidence
	}
	if e.KeyID != keyID(public) {
		return Evidence{}, errEvidence // unverified, so its contents can't be trusted
	}
	return e, nil
}

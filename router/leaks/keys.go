package leaks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"
)

// fetchAgain is the minimum time before the public keys are read again because one is unknown.
const fetchAgain = time.Minute

// Keys are the public keys of those who report leaks. They are read when an unknown one is
// needed.
type Keys struct {
	// Fetch reads {"public_keys": [{"key_identifier": …, "key": PEM}]}.
	Fetch func(ctx context.Context) ([]byte, error)
	Clock func() time.Time // nil means time.Now

	mu    sync.Mutex
	known map[string]*ecdsa.PublicKey
	asked time.Time
}

// ErrSignature is a body that was not signed by an authorised reporter.
var ErrSignature = errors.New("leaks: the signature is not valid")

// Verify returns nil if a body was signed with the key that has that identifier. Errors other
// than ErrSignature say that the keys could not be read.
func (k *Keys) Verify(ctx context.Context, id, signature string, body []byte) error {
	der, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || id == "" || len(der) == 0 {
		return ErrSignature
	}
	key, err := k.key(ctx, id)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	if key == nil || !ecdsa.VerifyASN1(key, sum[:], der) {
		return ErrSignature
	}
	return nil
}

// key returns the key with an identifier; nil if there is none.
func (k *Keys) key(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now
	if k.Clock != nil {
		now = k.Clock
	}
	if key := k.known[id]; key != nil || now().Sub(k.asked) < fetchAgain {
		return key, nil
	}
	text, err := k.Fetch(ctx)
	if err != nil {
		return nil, fmt.Errorf("leaks: reading the public keys: %w", err)
	}
	known, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("leaks: reading the public keys: %w", err)
	}
	k.known, k.asked = known, now()
	return known[id], nil
}

func parseKeys(text []byte) (map[string]*ecdsa.PublicKey, error) {
	var list struct {
		Keys []struct {
			ID  string `json:"key_identifier"`
			Key string `json:"key"`
		} `json:"public_keys"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	known := make(map[string]*ecdsa.PublicKey, len(list.Keys))
	for _, one := range list.Keys {
		block, _ := pem.Decode([]byte(one.Key))
		if block == nil {
			return nil, fmt.Errorf("key %s is not in PEM", one.ID)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", one.ID, err)
		}
		key, ok := parsed.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("key %s is not of ECDSA P-256", one.ID)
		}
		known[one.ID] = key
	}
	if len(known) == 0 {
		return nil, errors.New("there are none")
	}
	return known, nil
}

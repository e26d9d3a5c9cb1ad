package idempotency

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"

	"tallyroute/billing"
)

// close seals an answer: a 12-byte nonce, then AES-256-GCM over the header as JSON, a line feed
// and the body, bound to the id of the request.
func (c *Claim) close(a Answer) ([]byte, error) {
	if a.Body == nil {
		return nil, nil
	}
	header, err := json.Marshal(a.Header)
	if err != nil {
		return nil, err
	}
	aead, err := sealing(c.seal)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(header)+1+len(a.Body)+aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return aead.Seal(nonce, nonce, bytes.Join([][]byte{header, a.Body}, []byte{'\n'}), []byte(c.claim.RequestID)), nil
}

var errSealed = errors.New("router: a kept answer cannot be read")

// open decrypts what close has sealed.
func open(seal [sha256.Size]byte, found *billing.Claimed) (*Answer, error) {
	aead, err := sealing(seal)
	if err != nil {
		return nil, err
	}
	n := aead.NonceSize()
	if len(found.Answer) < n {
		return nil, errSealed
	}
	text, err := aead.Open(nil, found.Answer[:n], found.Answer[n:], []byte(found.RequestID))
	if err != nil {
		return nil, errSealed
	}
	a := &Answer{RequestID: found.RequestID}
	header, body, _ := bytes.Cut(text, []byte{'\n'})
	if json.Unmarshal(header, &a.Header) != nil {
		return nil, errSealed
	}
	a.Body = body
	return a, nil
}

func sealing(key [sha256.Size]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

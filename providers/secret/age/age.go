// Package age opens secrets that were encrypted with age. Such texts and files may be visible
// to others, because only the holder of a matching identity can decrypt them.
package age

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// most limits the size of one secret.
const most = 64 << 10

var (
	errIdentity  = errors.New("age: want identities as age-keygen writes them: lines that begin with AGE-SECRET-KEY-")
	errRecipient = errors.New("age: want a recipient as age-keygen -y tells it: age1…")
	errText      = errors.New("age: the text was not encrypted with age, or was cut")
	errOther     = errors.New("age: it was encrypted for another identity")
)

// Identities decrypt what was encrypted for them.
type Identities []age.Identity

// Parse reads identities, one per line. The error repeats none of them.
func Parse(text string) (Identities, error) {
	list, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil {
		return nil, errIdentity
	}
	return list, nil
}

// Open decrypts a secret, in age's binary format, armored, or in base64.
func (i Identities) Open(text string) (string, error) {
	var from io.Reader = strings.NewReader(text)
	switch trimmed := strings.TrimSpace(text); {
	case strings.HasPrefix(trimmed, armor.Header):
		from = armor.NewReader(strings.NewReader(trimmed))
	case !strings.HasPrefix(text, "age-encryption.org/"):
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return "", errText
		}
		from = bytes.NewReader(raw)
	}
	plain, err := age.Decrypt(from, i...)
	if errors.As(err, new(*age.NoIdentityMatchError)) {
		return "", errOther
	}
	if err != nil {
		return "", errText
	}
	opened, err := io.ReadAll(io.LimitReader(plain, most+1))
	if err != nil || len(opened) > most {
		return "", errText
	}
	return string(opened), nil
}

// Seal encrypts a text for a recipient and returns it in base64.
func Seal(recipient, text string) (string, error) {
	to, err := age.ParseRecipients(strings.NewReader(recipient))
	if err != nil {
		return "", errRecipient
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to...)
	if err != nil {
		return "", err
	}
	if _, err = io.WriteString(w, text); err == nil {
		err = w.Close()
	}
	return base64.StdEncoding.EncodeToString(sealed.Bytes()), err
}

// NewIdentity creates an identity, and returns it with its recipient.
func NewIdentity() (identity, recipient string, err error) {
	made, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", err
	}
	return made.String(), made.Recipient().String(), nil
}

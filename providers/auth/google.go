package auth

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"time"

	"tallyroute/providers"
)

const (
	googleScope = "https://www.googleapis.com/auth/cloud-platform"
	googleGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	// googleServer is where Google issues tokens, unless a key says otherwise.
	googleServer  = "https://oauth2.googleapis.com/token"
	assertionLife = time.Hour // the longest lifetime that may be requested
)

// What can be wrong with a credential.
var (
	errNoAccount = errors.New("auth: the credential is not the key of a service account (JSON with type, client_email and private_key)")
	errNoKey     = errors.New("auth: the private_key of the credential is not an RSA key in PEM")
	errTokenURI  = errors.New("auth: the token_uri of the credential does not begin with https://")
)

// Google signs with a token that Google issues for a service account's key, whose JSON is
// what key returns (RFC 7523). c makes the calls; providers.TokenClient is suitable.
func Google(key Source, c *http.Client) providers.Auth {
	return fetched(func(ctx context.Context) (token, error) {
		text, err := key(ctx)
		if err != nil {
			return token{}, err
		}
		a, err := parseAccount(text)
		if err != nil {
			return token{}, err
		}
		assertion, err := a.assertion(time.Now())
		if err != nil {
			return token{}, err
		}
		return grant(ctx, c, a.url, url.Values{"grant_type": {googleGrant}, "assertion": {assertion}})
	})
}

// account is a service account's key.
type account struct {
	email, id, url string
	key            *rsa.PrivateKey
}

// parseAccount reads a key in the form in which Google issues it.
func parseAccount(text string) (account, error) {
	var k struct {
		Type  string `json:"type"`
		Email string `json:"client_email"`
		Key   string `json:"private_key"`
		KeyID string `json:"private_key_id"`
		URL   string `json:"token_uri"`
	}
	if err := json.Unmarshal([]byte(text), &k); err != nil || k.Type != "service_account" || k.Email == "" || k.Key == "" {
		return account{}, errNoAccount // err would repeat the text that could not be parsed
	}
	if k.URL == "" {
		k.URL = googleServer
	}
	if u, err := url.Parse(k.URL); err != nil || u.Scheme != "https" {
		return account{}, errTokenURI
	}
	block, _ := pem.Decode([]byte(k.Key))
	if block == nil {
		return account{}, errNoKey
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	private, ok := key.(*rsa.PrivateKey)
	if err != nil || !ok {
		return account{}, errNoKey
	}
	return account{email: k.Email, id: k.KeyID, url: k.URL, key: private}, nil
}

// assertion returns the JSON Web Token (RFC 7519) that a token is requested with. It says who
// asks and for what, and is signed with RS256.
func (a account) assertion(now time.Time) (string, error) {
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			return "" // unreachable: maps of strings and numbers can be encoded
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	head := map[string]string{"alg": "RS256", "typ": "JWT", "kid": a.id}
	claims := map[string]any{"iss": a.email, "scope": googleScope, "aud": a.url, "iat": now.Unix(), "exp": now.Add(assertionLife).Unix()}
	text := part(head) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", errNoKey
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

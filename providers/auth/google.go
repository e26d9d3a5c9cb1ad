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
	// googleServer is where Google gives out tokens, unless a key says otherwise.
	googleServer  = "https://oauth2.googleapis.com/token"
	assertionLife = time.Hour // the longest for which a token may be asked
)

// What a credential may lack.
var (
	errNoAccount = errors.New("auth: the credential is not the key of a service account (JSON with type, client_email and private_key)")
	errNoKey     = errors.New("auth: the private_key of the credential is not an RSA key in PEM")
	errTokenURI  = errors.New("auth: the token_uri of the credential does not begin with https://")
)

// Google signs with a token that Google gives for the key of a service
// account, whose JSON is what key gives (RFC 7523). c makes the calls;
// providers.TokenClient will do.
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

// account is the key of a service account.
type account struct {
	email, id, url string
	key            *rsa.PrivateKey
}

// parseAccount reads a key as Google gives it out.
func parseAccount(text string) (account, error) {
	var k struct {
		Type  string `json:"type"`
		Email string `json:"client_email"`
		Key   string `json:"private_key"`
		KeyID string `json:"private_key_id"`
		URL   string `json:"token_uri"`
	}
	if err := json.Unmarshal([]byte(text), &k); err != nil || k.Type != "service_account" || k.Email == "" || k.Key == "" {
		return account{}, errNoAccount // err would repeat what it could not read
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

// assertion is what a token is asked for with: a JSON Web Token (RFC 7519) of who
// asks and for what, signed with RS256.
func (a account) assertion(now time.Time) (string, error) {
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			return "" // not reached: maps of texts and numbers have a JSON form
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

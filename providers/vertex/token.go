package vertex

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
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tallyroute/providers"
)

const (
	scope = "https://www.googleapis.com/auth/cloud-platform"
	// tokenURL is where Google gives out tokens, unless a key says otherwise.
	tokenURL = "https://oauth2.googleapis.com/token" //nolint:gosec // no credential
	grant    = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	life     = time.Hour // the longest for which a token may be asked
	maxToken = 64 << 10  // bytes of an answer with a token in it
)

// What a credential may lack.
var (
	errNoAccount = errors.New("vertex: the credential is no key of a service account (JSON with type, client_email and private_key)")
	errNoKey     = errors.New("vertex: the private_key of the credential is no RSA key in PEM")
	errTokenURL  = errors.New("vertex: the token_uri of the credential does not begin with https://")
)

// ServiceAccount signs with a token that Google gives for the key of a service
// account, whose JSON is what key gives (RFC 7523). c makes the calls;
// providers.TokenClient will do.
func ServiceAccount(key providers.Source, c *http.Client) providers.Auth {
	return providers.FetchedBearer(func(ctx context.Context) (providers.Token, error) {
		text, err := key(ctx)
		if err != nil {
			return providers.Token{}, err
		}
		a, err := parse(text)
		if err != nil {
			return providers.Token{}, err
		}
		return a.fetch(ctx, c, time.Now())
	})
}

// account is the key of a service account.
type account struct {
	email, id, url string
	key            *rsa.PrivateKey
}

// parse reads a key as Google gives it out.
func parse(text string) (account, error) {
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
		k.URL = tokenURL
	}
	if u, err := url.Parse(k.URL); err != nil || u.Scheme != "https" {
		return account{}, errTokenURL
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
	claims := map[string]any{"iss": a.email, "scope": scope, "aud": a.url, "iat": now.Unix(), "exp": now.Add(life).Unix()}
	text := part(head) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", errNoKey
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// fetch asks for a token.
func (a account) fetch(ctx context.Context, c *http.Client, now time.Time) (providers.Token, error) {
	assertion, err := a.assertion(now)
	if err != nil {
		return providers.Token{}, err
	}
	form := url.Values{"grant_type": {grant}, "assertion": {assertion}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, strings.NewReader(form.Encode()))
	if err != nil {
		return providers.Token{}, errTokenURL
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.Do(req)
	if err != nil {
		return providers.Token{}, &providers.Error{Kind: providers.KindNetwork, Err: fmt.Errorf("vertex: token: %w", err)}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return providers.Token{}, &providers.Error{Kind: providers.KindNetwork, Err: fmt.Errorf("vertex: token: %w", err)}
	}
	return token(resp.StatusCode, body, now)
}

// token reads what was answered. Of a refusal only its code is repeated.
func token(status int, body []byte, now time.Time) (providers.Token, error) {
	var said struct {
		Token   string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
		Error   string `json:"error"`
	}
	err := json.Unmarshal(body, &said)
	switch {
	case status >= http.StatusInternalServerError:
		return providers.Token{}, &providers.Error{Kind: providers.KindOverload, Err: fmt.Errorf("vertex: token: status %d", status)}
	case err != nil:
		return providers.Token{}, fmt.Errorf("vertex: token: status %d with a body that is no JSON", status)
	case said.Token == "":
		return providers.Token{}, fmt.Errorf("vertex: token: status %d, %.60q", status, said.Error)
	}
	lasts := time.Duration(min(max(said.Seconds, 1), int64(life/time.Second))) * time.Second
	return providers.Token{Text: said.Token, Expires: now.Add(lasts)}, nil
}

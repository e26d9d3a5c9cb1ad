package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

const (
	refetch    = time.Minute     // minimum interval, whatever tokens arrive
	firstAgain = 2 * time.Second // likewise, while no keys are known
	refresh    = time.Hour       // after which they are fetched again even if the key is known
	patience   = 5 * time.Second // with an issuer
	mostKeys   = 1 << 20         // bytes of an answer
)

// algorithms are those with which tokens may be signed.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.PS256, jose.EdDSA,
}

// keys are the public keys of an issuer, as last fetched. While the issuer does not answer,
// they stay as they are.
type keys struct {
	issuer Issuer
	client *http.Client
	loads  singleflight.Group

	mu    sync.Mutex
	set   []jose.JSONWebKey
	asked time.Time // when they were last requested
	got   time.Time
}

func newKeys(i Issuer, client *http.Client) *keys { return &keys{issuer: i, client: client} }

// asked looks up the keys for one token. A verifier does not pass errors on, so the reason why
// they could not be fetched is kept here.
type asked struct {
	*keys
	away error
}

// VerifySignature implements oidc.KeySet.
func (a *asked) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := a.verify(ctx, token)
	if errors.Is(err, ErrUnavailable) {
		a.away = err
	}
	return payload, err
}

func (k *keys) verify(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSigned(token, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return nil, fmt.Errorf("its signature cannot be read: %w", err)
	}
	id := signed.Signatures[0].Header.KeyID
	set, err := k.with(ctx, id)
	if err != nil {
		return nil, err
	}
	for i := range set {
		if set[i].KeyID == id || id == "" {
			if payload, err := signed.Verify(&set[i]); err == nil {
				return payload, nil
			}
		}
	}
	return nil, errors.New("its signature matches no key of the issuer")
}

// with returns the keys, fetching them again if none has that id; at most once a minute.
func (k *keys) with(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	set, due := k.known(id, time.Now())
	if !due && len(set) > 0 {
		return set, nil
	}
	if !due {
		return nil, fmt.Errorf("%w: %s, a moment ago", ErrUnavailable, k.issuer.URL)
	}
	loaded := k.loads.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err := k.fetch(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.asked = time.Now()
		return nil, err
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %s: %w", ErrUnavailable, k.issuer.URL, ctx.Err())
	case r := <-loaded:
		k.mu.Lock()
		defer k.mu.Unlock()
		if r.Err != nil && len(k.set) == 0 {
			return nil, fmt.Errorf("%w: %s: %w", ErrUnavailable, k.issuer.URL, r.Err)
		}
		return k.set, nil
	}
}

// known returns the current keys, and whether they should be fetched first.
func (k *keys) known(id string, now time.Time) (set []jose.JSONWebKey, due bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := id == "" && len(k.set) > 0
	for i := range k.set {
		found = found || k.set[i].KeyID == id
	}
	wait := refetch
	if len(k.set) == 0 {
		wait = firstAgain
	}
	return k.set, (!found || now.Sub(k.got) >= refresh) && now.Sub(k.asked) >= wait
}

// fetch fetches the keys from the issuer.
func (k *keys) fetch(ctx context.Context) error {
	at := k.issuer.JWKS
	if at == "" {
		var found struct {
			Issuer string `json:"issuer"`
			JWKS   string `json:"jwks_uri"`
		}
		if err := k.get(ctx, strings.TrimSuffix(k.issuer.URL, "/")+"/.well-known/openid-configuration", &found); err != nil {
			return err
		}
		if found.Issuer != k.issuer.URL {
			return fmt.Errorf("its discovery document is that of %q", found.Issuer)
		}
		at = found.JWKS
	}
	if !Safe(at) {
		return fmt.Errorf("its keys are not at an address with https: %q", at)
	}
	var set jose.JSONWebKeySet
	if err := k.get(ctx, at, &set); err != nil {
		return err
	}
	public := set.Keys[:0]
	for _, one := range set.Keys {
		if one.IsPublic() && one.Valid() && one.Use != "enc" {
			public = append(public, one)
		}
	}
	if len(public) == 0 {
		return errors.New("it has no keys")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.set, k.got = public, time.Now()
	return nil
}

func (k *keys) get(ctx context.Context, at string, v any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := k.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", at, resp.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, mostKeys)).Decode(v)
}

// Safe reports whether keys may be fetched from an address: over https, or from this machine.
func Safe(at string) bool {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	local := u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1"
	return u.Scheme == "https" || u.Scheme == "http" && local
}

package identity

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// googleScope covers the whole platform: the granted roles decide what is allowed.
const googleScope = "https://www.googleapis.com/auth/cloud-platform"

// googleTokens returns a source of Google Cloud tokens from the application default
// credentials: a file, a federated identity, a developer's tools, or the machine's service
// account.
func googleTokens() Token {
	var found lazily[oauth2.TokenSource]
	var way witness
	return bounded(func(ctx context.Context) (string, error) {
		source, err := found.get(func() (oauth2.TokenSource, error) {
			ctx := context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Timeout: patience, Transport: &way})
			c, err := google.FindDefaultCredentials(ctx, googleScope)
			if err != nil {
				return nil, err
			}
			return c.TokenSource, nil
		})
		if err != nil {
			return "", err
		}
		way.away.Store(false)
		t, err := source.Token()
		if err != nil && way.away.Load() {
			return "", &awayError{err}
		}
		if err != nil {
			return "", err
		}
		return t.AccessToken, nil
	})
}

// googleProof returns a source of Google tokens that prove to an audience who the machine is.
func googleProof(audience string) Token {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return metadata.NewClient(nil).GetWithContext(ctx,
			"instance/service-accounts/default/identity?format=full&audience="+url.QueryEscape(audience))
	}
}

// witness records whether the last request got no usable response, because the library
// reports that only as text.
type witness struct{ away atomic.Bool }

// RoundTrip sends the request as usual.
func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	w.away.Store(err != nil || away(resp.StatusCode))
	return resp, err
}

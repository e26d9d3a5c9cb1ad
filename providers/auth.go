package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Source gives a credential whenever one is needed, so that one that was rotated
// is seen.
type Source func(ctx context.Context) (string, error)

var errNoCredential = errors.New("providers: the credential is empty")

// Bearer signs with "Authorization: Bearer …".
func Bearer(s Source) Auth { return headerAuth{"Authorization", "Bearer ", s} }

// HeaderKey signs with the bare credential in a header, such as "Api-Key".
func HeaderKey(name string, s Source) Auth { return headerAuth{http.CanonicalHeaderKey(name), "", s} }

// NoAuth signs nothing, for providers that ask for nothing.
func NoAuth() Auth { return noAuth{} }

var (
	_ Auth = headerAuth{}
	_ Auth = noAuth{}
)

type headerAuth struct {
	name, prefix string
	source       Source
}

func (a headerAuth) Sign(ctx context.Context, r *http.Request) error {
	text, err := a.source(ctx)
	if err != nil {
		return fmt.Errorf("providers: credential: %w", err)
	}
	if text == "" {
		return errNoCredential
	}
	r.Header[a.name] = []string{a.prefix + text}
	return nil
}

type noAuth struct{}

func (noAuth) Sign(context.Context, *http.Request) error { return nil }

// Package auth puts the router's credentials on calls: keys in a header, tokens from an
// authorization server, and signatures. It owns how each of them is obtained and cached;
// providers.Target says which one a call uses.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"tallyroute/providers"
)

// Source returns a credential. It is called each time one is needed, so that a rotated
// credential takes effect.
type Source func(ctx context.Context) (string, error)

var (
	errNoCredential = errors.New("auth: the credential is empty")
	errNoHeader     = errors.New("auth: the credential holds a line end or another control character")
)

// Fits reports whether a credential can be sent in a header.
func Fits(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// Bearer signs with "Authorization: Bearer …".
func Bearer(s Source) providers.Auth { return header{"Authorization", "Bearer ", s} }

// Header signs with the bare credential in a header, such as "Api-Key".
func Header(name string, s Source) providers.Auth {
	return header{http.CanonicalHeaderKey(name), "", s}
}

// None signs nothing, for providers that need no credential.
func None() providers.Auth { return none{} }

type header struct {
	name, prefix string
	source       Source
}

// Sign sets the header.
func (h header) Sign(ctx context.Context, r *http.Request) error {
	text, err := h.source(ctx)
	if err != nil {
		return fmt.Errorf("auth: credential: %w", err)
	}
	if text == "" {
		return errNoCredential
	}
	if !Fits(text) {
		return errNoHeader
	}
	r.Header[h.name] = []string{h.prefix + text}
	return nil
}

type none struct{}

// Sign does nothing.
func (none) Sign(context.Context, *http.Request) error { return nil }

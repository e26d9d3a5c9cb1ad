package providers

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// Bounds of what is taken for a credential in a provider's words.
const (
	fragment = 6 // bytes of it that betray it
	shortest = 4 // a shorter credential would be found everywhere
)

// credentials are what signing has put on a request: all header values and query
// parameters that neither we nor the target nor the adapter have declared. So no
// Auth has to say what of its doing is secret.
func credentials(r *http.Request, path string, declared ...http.Header) []string {
	var list []string
	for name, values := range r.Header {
		if slices.ContainsFunc(declared, func(h http.Header) bool { return slices.Equal(h[name], values) }) {
			continue
		}
		for _, v := range values {
			list = append(list, v[strings.LastIndexByte(v, ' ')+1:]) // without the scheme
		}
	}
	for _, values := range r.URL.Query() {
		for _, v := range values {
			if !strings.Contains(path, url.QueryEscape(v)) {
				list = append(list, v)
			}
		}
	}
	return list
}

// pieces are what betrays credentials: every run of some bytes of them, in lower case.
type pieces map[string]struct{}

func (p pieces) add(secret string, size int) {
	for i := 0; i+size <= len(secret); i++ {
		p[secret[i:i+size]] = struct{}{}
	}
}

// mark marks what a text, in lower case, shares with them.
func (p pieces) mark(hit []bool, text string, size int) []bool {
	for i := 0; i+size <= len(text); i++ {
		if _, ok := p[text[i:i+size]]; !ok {
			continue
		}
		if hit == nil {
			hit = make([]bool, len(text))
		}
		for j := i; j < i+size; j++ {
			hit[j] = true
		}
	}
	return hit
}

// scrub replaces in text what it shares with a credential, in whatever case.
func scrub(said string, secrets []string, others pieces) string {
	text := lower(said)
	hit := others.mark(nil, text, fragment)
	for _, secret := range secrets {
		secret = lower(secret)
		size := min(fragment, len(secret))
		if size < shortest || len(text) < size {
			continue
		}
		own := make(pieces, len(secret))
		own.add(secret, size)
		hit = own.mark(hit, text, size)
	}
	if hit == nil {
		return said
	}
	var b strings.Builder
	for i := range len(said) {
		switch {
		case !hit[i]:
			b.WriteByte(said[i])
		case i == 0 || !hit[i-1]:
			b.WriteString("[redacted]")
		}
	}
	return b.String()
}

// lower is s with its ASCII letters in lower case, byte for byte.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// honest is a text without what a terminal or a reader could be deceived with: control
// characters, and those that change the direction of what follows or cannot be seen.
func honest(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			return -1
		}
		return r
	}, s)
}

// redact takes the credentials out of all that an error says, and what deceives.
func (e *Error) redact(secrets []string, others pieces) {
	for _, s := range []*string{&e.Detail.Message, &e.Detail.Type, &e.Detail.Param, &e.Detail.Code} {
		*s = scrub(honest(*s), secrets, others)
	}
	if e.Err != nil {
		if text := e.Err.Error(); scrub(text, secrets, others) != text {
			e.Err = errors.New(scrub(text, secrets, others))
		}
	}
}

// Bounds of the credentials that a client remembers.
const (
	mostKnown    = 256
	shortestKept = 16 // bytes; a shorter one shares too much with words
)

// known are the credentials that calls were made with: a provider may tell one of ours
// that is not the one of the call.
type known struct {
	mu     sync.RWMutex
	of     map[account]bool
	pieces pieces // never changed, but replaced
}

// account is what one credential is for.
type account struct{ provider, name string }

// learn remembers the credentials of an account, once.
func (k *known) learn(t *trip) {
	at := account{t.x.Target.Provider, t.x.Target.Account}
	k.mu.RLock()
	done := k.of[at] || len(k.of) >= mostKnown
	k.mu.RUnlock()
	if done {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of == nil {
		k.of = make(map[account]bool)
	}
	k.of[at] = true
	all := maps.Clone(k.pieces)
	if all == nil {
		all = make(pieces)
	}
	for _, secret := range t.credentials() {
		if len(secret) >= shortestKept && !strings.Contains(secret, "=") { // which signatures and dates have
			all.add(lower(secret), fragment)
		}
	}
	k.pieces = all
}

// all are the pieces of the credentials of every account.
func (k *known) all() pieces {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.pieces
}

// credentials are those of one call.
func (t *trip) credentials() []string {
	return credentials(t.req, t.call.Path, t.own(), t.x.Target.Header, t.call.Header)
}

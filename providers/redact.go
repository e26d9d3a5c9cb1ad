package providers

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Bounds of what is taken for a credential in a provider's words.
const (
	fragment = 8 // bytes of it that betray it
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

// scrub replaces in text what it shares with a credential.
func scrub(text string, secrets []string) string {
	var hit []bool
	for _, secret := range secrets {
		size := min(fragment, len(secret))
		if size < shortest || len(text) < size {
			continue
		}
		pieces := make(map[string]struct{}, len(secret))
		for i := 0; i+size <= len(secret); i++ {
			pieces[secret[i:i+size]] = struct{}{}
		}
		for i := 0; i+size <= len(text); i++ {
			if _, ok := pieces[text[i:i+size]]; !ok {
				continue
			}
			if hit == nil {
				hit = make([]bool, len(text))
			}
			for j := i; j < i+size; j++ {
				hit[j] = true
			}
		}
	}
	if hit == nil {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !hit[i]:
			b.WriteByte(text[i])
		case i == 0 || !hit[i-1]:
			b.WriteString("[redacted]")
		}
	}
	return b.String()
}

// redact takes the credentials out of all that an error says.
func (e *Error) redact(secrets []string) {
	for _, s := range []*string{&e.Detail.Message, &e.Detail.Type, &e.Detail.Param, &e.Detail.Code} {
		*s = scrub(*s, secrets)
	}
	if e.Err != nil {
		if text := e.Err.Error(); scrub(text, secrets) != text {
			e.Err = errors.New(scrub(text, secrets))
		}
	}
}

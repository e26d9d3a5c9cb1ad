package providers

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// betaHeader is the header that asks Anthropic for beta features.
const betaHeader = "Anthropic-Beta"

// Limits for recognising a credential in a provider's message.
const (
	fragment = 6 // bytes of a credential that give it away
	shortest = 4 // a credential shorter than this would match everywhere
)

// credentials returns what signing has added to a request: all header values and query
// parameters that neither we nor the target nor the adapter declared. This way an Auth does
// not have to say which of them are secret.
func credentials(r *http.Request, path string, declared ...http.Header) []string {
	var list []string
	for name, values := range r.Header {
		if name == betaHeader { // signing adds a word to it
			continue
		}
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

// pieces holds what gives credentials away: every substring of a fixed length of each of their
// spellings, in lower case.
type pieces map[string]struct{}

// add adds a secret in all forms in which a provider may repeat it. Pieces of hexadecimal
// digits are twice as long, because each byte takes two.
func (p pieces) add(secret string, size int) {
	for spelled := range spellings(secret) {
		p.split(spelled, size)
		p.split(squeezed(spelled), size)
	}
	if len(secret) >= shortestKept {
		p.split(hex.EncodeToString([]byte(secret)), 2*size)
	}
}

func (p pieces) split(spelled string, size int) {
	for i := 0; i+size <= len(spelled); i++ {
		p[spelled[i:i+size]] = struct{}{}
	}
}

// spellings yields a secret as it is, and in base64 at any offset, in lower case.
func spellings(secret string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(lower(secret)) || len(secret) < shortestKept {
			return
		}
		for before := range 3 { // bytes before it, which determine the first digits
			digits := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:before] + secret))
			if !yield(lower(digits[(before*8+5)/6 : (before+len(secret))*8/6])) {
				return
			}
		}
	}
}

// view is a text in a form that is compared with credentials, and where each of its bytes
// comes from.
type view struct {
	text string
	from []span
}

type span struct{ start, end int }

// views returns a text as it is, and as its reader may decode it.
func views(said string) [2]view {
	plain := view{text: lower(said), from: make([]span, len(said))}
	for i := range plain.from {
		plain.from[i] = span{i, i + 1}
	}
	return [2]view{plain, decoded(said)}
}

// decoded returns the letters and digits of a text in lower case, with escapes resolved: those
// of URLs, of strings in JSON and in programs, and of HTML.
func decoded(said string) view {
	v := view{from: make([]span, 0, len(said))}
	text := make([]byte, 0, len(said))
	for i := 0; i < len(said); {
		c, size := unescaped(said[i:])
		if isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' {
			text = append(text, c)
			v.from = append(v.from, span{i, i + size})
		}
		i += size
	}
	v.text = lower(string(text))
	return v
}

// squeezed returns the letters and digits of a spelling.
func squeezed(spelled string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (isDigit(byte(r)) || isLetter(byte(r))) {
			return r
		}
		return -1
	}, spelled)
}

// unescaped returns the character that a text begins with, or that its first escape stands
// for, and how many bytes that takes. Characters outside ASCII are returned as 0.
func unescaped(s string) (c byte, size int) {
	for _, e := range [...]struct {
		begin, end string
		base, most int // of the digits
	}{
		{"%", "", 16, 2}, {`\u`, "", 16, 4}, {`\x`, "", 16, 2}, {"&#x", ";", 16, 6}, {"&#X", ";", 16, 6}, {"&#", ";", 10, 7},
	} {
		digits, found := strings.CutPrefix(s, e.begin)
		if !found {
			continue
		}
		for e.begin == "%" && strings.HasPrefix(digits, "25") { // the percent sign is escaped itself
			digits = digits[len("25"):]
		}
		n := e.most
		if e.end != "" {
			if n = strings.Index(digits[:min(len(digits), e.most+1)], e.end); n < 0 {
				continue
			}
		}
		if n > len(digits) {
			continue
		}
		value, err := strconv.ParseUint(digits[:n], e.base, 32)
		if err != nil {
			continue
		}
		if value >= 0x80 {
			value = 0
		}
		return byte(value), len(s) - len(digits) + n + len(e.end)
	}
	return s[0], 1
}

// mark marks the parts of a text that match one of the pieces in a view of it.
func (p pieces) mark(hit []bool, v view, size, total int) []bool {
	for i := 0; i+size <= len(v.text); i++ {
		if _, ok := p[v.text[i:i+size]]; !ok {
			continue
		}
		if hit == nil {
			hit = make([]bool, total)
		}
		for j := v.from[i].start; j < v.from[i+size-1].end; j++ {
			hit[j] = true
		}
	}
	return hit
}

// scrub replaces the parts of a text that match a credential, whatever their case and however
// they are encoded.
func scrub(said string, secrets []string, others pieces) string {
	var hit []bool
	seen := views(said)
	mark := func(p pieces, size int) {
		if len(p) == 0 {
			return
		}
		for _, v := range seen {
			hit = p.mark(hit, v, size, len(said))
			hit = p.mark(hit, v, 2*size, len(said))
		}
	}
	mark(others, fragment)
	for _, secret := range secrets {
		size := min(fragment, len(secret))
		if size < shortest || len(said) < size {
			continue
		}
		own := make(pieces, len(secret))
		own.add(secret, size)
		mark(own, size)
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

// lower returns s with its ASCII letters in lower case, byte for byte.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// honest returns a text without anything that could deceive a terminal or a reader: control
// characters, and those that are invisible or change the direction of what follows.
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

// redact removes credentials and deceptive characters from everything that an error says.
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

// Limits on the credentials that a client remembers.
const (
	mostKnown    = 256
	shortestKept = 16 // bytes; a shorter one has too much in common with ordinary words
)

// known holds the credentials that calls were made with, since a provider may reveal one of
// ours other than the one used for the call.
type known struct {
	mu     sync.RWMutex
	of     map[account]bool
	pieces pieces // replaced as a whole, never modified
}

// account identifies a credential.
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
		if len(secret) >= shortestKept && !strings.Contains(secret, "=") { // signatures and dates contain one
			all.add(secret, fragment)
		}
	}
	k.pieces = all
}

// all returns the pieces of the credentials of every account.
func (k *known) all() pieces {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.pieces
}

// credentials returns the credentials of one call.
func (t *trip) credentials() []string {
	return credentials(t.req, t.call.Path, t.own(), t.x.Target.Header, t.call.Header)
}

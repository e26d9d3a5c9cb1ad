package billing

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
)

// longestSecret is the maximum length of a secret in bytes.
const longestSecret = len(secretPrefix) + len("staging") + 1 + secretTail

// SecretsIn calls each with every secret in what r reads, and with the number of its
// line. Only text with a valid checksum counts as a secret. The text may be in UTF-8,
// UTF-16 or UTF-32, in which the characters of a secret differ by zero bytes alone.
func SecretsIn(r io.Reader, each func(s Secret, line int)) error {
	buffer := make([]byte, 64<<10)
	kept, line := 0, 1 // bytes in the buffer that were already read, and the line on which they start
	for {
		n, err := r.Read(buffer[kept:])
		text := buffer[:kept+len(withoutZeros(buffer[kept:kept+n]))]
		whole := len(text) // a secret must start before this position
		if err == nil {
			whole = max(0, len(text)-longestSecret)
		}
		at := secretsIn(text, whole, line, each)
		line += bytes.Count(text[:at], []byte("\n"))
		kept = copy(buffer, text[at:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// withoutZeros removes the zero bytes from b, in place.
func withoutZeros(b []byte) []byte {
	if bytes.IndexByte(b, 0) < 0 {
		return b
	}
	return slices.DeleteFunc(b, func(c byte) bool { return c == 0 })
}

// secretsIn looks in text for secrets that start before whole, and returns how far it
// has read.
func secretsIn(text []byte, whole, line int, each func(Secret, int)) int {
	at, counted := 0, 0
	for {
		i := bytes.Index(text[at:], []byte(secretPrefix))
		if i < 0 || at+i >= whole {
			return max(at, whole)
		}
		at += i
		line += bytes.Count(text[counted:at], []byte("\n"))
		counted = at
		rest := text[at:min(len(text), at+longestSecret)]
		if s, ok := secretAt(rest); ok {
			each(s, line)
			at += len(s.Reveal())
			continue
		}
		at += len(secretPrefix)
	}
}

// secretAt returns the secret that text begins with.
func secretAt(text []byte) (Secret, bool) {
	for _, env := range environments {
		n := len(secretPrefix) + len(env) + 1 + secretTail
		if len(text) < n {
			continue
		}
		if s, err := ParseSecret(string(text[:n])); err == nil && s.Environment() == env {
			return s, true
		}
	}
	return Secret{}, false
}

// HoldsSecret reports whether a text has a secret of ours in it.
func HoldsSecret(text []byte) (found bool) {
	if bytes.Contains(text, []byte(secretPrefix)) {
		secretsIn(text, len(text), 1, func(Secret, int) { found = true })
	}
	return found
}

// WithoutSecrets returns a text with what may be shown of each secret in its place.
func WithoutSecrets(s string) string {
	if strings.Contains(s, secretPrefix) {
		secretsIn([]byte(s), len(s), 1, func(found Secret, _ int) { s = strings.ReplaceAll(s, found.Reveal(), found.Display()) })
	}
	return s
}

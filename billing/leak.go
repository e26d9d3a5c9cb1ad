package billing

import (
	"bytes"
	"errors"
	"io"
)

// longestSecret is how many bytes a secret has at most.
const longestSecret = len(secretPrefix) + len("staging") + 1 + secretTail

// SecretsIn calls each with every secret in what r reads, and with its line. Only texts
// whose checksum is right are secrets.
func SecretsIn(r io.Reader, each func(s Secret, line int)) error {
	buffer := make([]byte, 64<<10)
	kept, line := 0, 1 // bytes of the buffer that were read before, and the line it begins on
	for {
		n, err := r.Read(buffer[kept:])
		text := buffer[:kept+n]
		whole := len(text) // how far a secret may begin
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

// secretsIn looks at text for secrets that begin before whole, and says how far it was
// read.
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

// secretAt is the secret that a text begins with.
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

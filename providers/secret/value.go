package secret

import (
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Value is a credential. However it is printed, encoded or logged, it shows as [redacted];
// only Reveal returns the credential.
type Value struct {
	// A pointer, so that even reflection, which fmt uses on unexported fields of structs that hold
	// a Value, prints only an address.
	text *string
}

// New returns a Value for a credential that is already known.
func New(text string) Value { return Value{&text} }

// Reveal returns the credential itself.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// String returns a fixed word.
func (Value) String() string { return redacted }

// GoString returns a fixed word.
func (Value) GoString() string { return redacted }

// Format prints a fixed word for every verb.
func (Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalText encodes a fixed word, also in JSON.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

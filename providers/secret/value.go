package secret

import (
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Value is a credential. However it is printed, encoded or logged, it reads
// [redacted]; only Reveal gives it away.
type Value struct {
	// A pointer, so that even reflection, as fmt uses on unexported fields of the
	// structs that hold a Value, prints an address.
	text *string
}

// New is a credential that is known already.
func New(text string) Value { return Value{&text} }

// Reveal is the credential itself.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// String is a fixed word.
func (Value) String() string { return redacted }

// GoString is a fixed word.
func (Value) GoString() string { return redacted }

// Format prints a fixed word for every verb.
func (Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalText encodes a fixed word, in JSON too.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
)

// maxFile bounds what is read from a file that was named as a credential.
const maxFile = 64 << 10

// ErrLiteral is a credential that was written down where a reference belongs.
// It does not repeat what was written.
var ErrLiteral = errors.New("secret: a credential is referred to, not written down: put it in an environment variable and write " +
	`"env:NAME", or in a file and write "file:/path"`)

type scheme struct {
	prefix string
	read   func(ctx context.Context, name string) (string, error)
}

// schemes are the places that this package reads by itself. Those of Managers are read
// by who was given their addresses.
var schemes = []scheme{
	{"env:", readEnv},
	{"file:", readFile},
	{sealedPrefix, func(_ context.Context, text string) (string, error) { return text, nil }},
}

// sealedPrefix begins a text that stands where a reference does, encrypted with age.
const sealedPrefix = "age:"

// SealedError is a secret that was encrypted with age: whoever has an identity opens Text.
type SealedError struct{ Ref, Text string }

// Error says what is needed.
func (e *SealedError) Error() string {
	return "secret: " + e.Ref + " is encrypted with age: secrets.age_identity opens it"
}

// sealed finds a text that was encrypted.
func sealed(ref, text string) error {
	switch {
	case strings.HasPrefix(ref, sealedPrefix):
		return &SealedError{sealedPrefix + "…", text}
	case strings.HasPrefix(text, "age-encryption.org/v1\n"), strings.HasPrefix(text, "-----BEGIN AGE ENCRYPTED FILE-----"):
		return &SealedError{ref, text}
	}
	return nil
}

// Managers are the schemes of services that keep secrets.
func Managers() []string {
	return []string{"vault", "aws-sm", "azure-kv", "gcp-sm", "conjur", "kubernetes"}
}

// Sources are the places that references may lead to.
func Sources() (names []string) {
	for _, s := range schemes {
		names = append(names, strings.TrimSuffix(s.prefix, ":"))
	}
	return append(names, append(Managers(), Stored)...)
}

// Stored is the source of credentials that the database keeps, sealed. Nobody writes
// references to it.
const Stored = "stored"

// SourceOf is the place that a reference leads to; "" of what is none.
func SourceOf(ref string) string {
	if !IsReference(ref) && !strings.HasPrefix(ref, Stored+":") {
		return ""
	}
	source, _, _ := strings.Cut(ref, ":")
	return source
}

// Kept is a reference to a secret that a manager keeps.
type Kept struct {
	Scheme string // of the manager
	Name   string // of the secret
	Field  string // "" is all of it
}

// Managed splits SCHEME:NAME, or SCHEME:NAME#FIELD for a secret with several fields.
// SCHEME://NAME is the same.
func Managed(ref string) (k Kept, ok bool) {
	scheme, name, found := strings.Cut(ref, ":")
	if !found || !slices.Contains(Managers(), scheme) {
		return Kept{}, false
	}
	name, field, _ := strings.Cut(strings.TrimPrefix(name, "//"), "#")
	return Kept{scheme, name, field}, true
}

// UnmanagedError is a reference to a manager of which nothing is configured.
type UnmanagedError struct{ Scheme string }

// Error names the manager.
func (e *UnmanagedError) Error() string {
	return fmt.Sprintf("secret: references with %s: need its settings in the section secrets of the configuration", e.Scheme)
}

// Resolve reads the credential that ref refers to.
func Resolve(ctx context.Context, ref string) (Value, error) {
	for _, s := range schemes {
		name, ok := strings.CutPrefix(ref, s.prefix)
		if !ok {
			continue
		}
		text, err := s.read(ctx, name)
		if err == nil {
			err = sealed(ref, text)
		}
		if err != nil {
			return Value{}, err
		}
		return Trimmed(ref, text)
	}
	if k, ok := Managed(ref); ok {
		return Value{}, &UnmanagedError{k.Scheme}
	}
	return Value{}, ErrLiteral
}

// Trimmed is the credential in text, which was found at ref. Editors and shells leave
// white space at the ends.
func Trimmed(ref, text string) (Value, error) {
	if text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff")); text == "" {
		return Value{}, fmt.Errorf("secret: %s is empty", ref)
	}
	return New(text), nil
}

// IsReference reports whether s says where a credential is, rather than being one.
func IsReference(s string) bool {
	_, managed := Managed(s)
	return managed || slices.ContainsFunc(schemes, func(scheme scheme) bool { return strings.HasPrefix(s, scheme.prefix) })
}

// Variable is the environment variable that ref refers to, if it refers to one.
func Variable(ref string) (name string, ok bool) { return strings.CutPrefix(ref, "env:") }

// File is the file that ref refers to, if it refers to one.
func File(ref string) (name string, ok bool) { return strings.CutPrefix(ref, "file:") }

func readEnv(_ context.Context, name string) (string, error) {
	if !isName(name) {
		return "", errors.New(`secret: "env:" must be followed by the name of an environment variable, in letters, digits and underscores`)
	}
	text := os.Getenv(name)
	if text == "" {
		return "", &NotSetError{name}
	}
	return text, nil
}

// NotSetError is an environment variable that is referred to and not set.
type NotSetError struct{ Name string }

// Error names the variable.
func (e *NotSetError) Error() string {
	return fmt.Sprintf("secret: environment variable %s is not set", e.Name)
}

// isName keeps a credential that was written behind env: out of error messages.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9' || i == 0) {
			return false
		}
	}
	return s != ""
}

func readFile(_ context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := private(f); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	if len(text) > maxFile {
		return "", fmt.Errorf("secret: %s is larger than %d bytes", path, maxFile)
	}
	if len(text) == 0 {
		return "", fmt.Errorf("secret: %s is empty", path)
	}
	return string(text), nil
}

// UnsafeError is a file of a credential whose rights are too wide: others can read it,
// or put a credential of theirs into it.
type UnsafeError struct{ Path, Who string }

// Error says what to do.
func (e *UnsafeError) Error() string {
	return fmt.Sprintf("secret: %s %s; run: chmod 600 %s", e.Who, e.Path, e.Path)
}

// private refuses a file that is not a file, that every user of the machine can read, or
// that others than its owner can write. Windows keeps its rights elsewhere than in the
// mode.
func private(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("secret: %s is not a file", f.Name())
	}
	switch rights := info.Mode().Perm(); {
	case runtime.GOOS == "windows":
	case rights&0o004 != 0:
		return &UnsafeError{f.Name(), "every user can read"}
	case rights&0o022 != 0:
		return &UnsafeError{f.Name(), "others than its owner can write"}
	}
	return nil
}

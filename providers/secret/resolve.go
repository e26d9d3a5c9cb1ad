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

// maxFile limits how much is read from a credential file.
const maxFile = 64 << 10

// ErrLiteral reports a credential that was written where a reference belongs. It does not
// repeat the credential.
var ErrLiteral = errors.New("secret: a credential is referred to, not written down: put it in an environment variable and write " +
	`"env:NAME", or in a file and write "file:/path"`)

type scheme struct {
	prefix string
	read   func(ctx context.Context, name string) (string, error)
}

// schemes are the sources that this package reads itself. The schemes in Managers are read by
// whoever has the managers' addresses.
var schemes = []scheme{
	{"env:", readEnv},
	{"file:", readFile},
	{sealedPrefix, func(_ context.Context, text string) (string, error) { return text, nil }},
}

// sealedPrefix begins a text, encrypted with age, that is used in place of a reference.
const sealedPrefix = "age:"

// SealedError reports a secret encrypted with age; a holder of a matching identity can open Text.
type SealedError struct{ Ref, Text string }

// Error says what is needed to open it.
func (e *SealedError) Error() string {
	return "secret: " + e.Ref + " is encrypted with age: secrets.age_identity opens it"
}

// sealed returns a SealedError for a text that is encrypted.
func sealed(ref, text string) error {
	switch {
	case strings.HasPrefix(ref, sealedPrefix):
		return &SealedError{sealedPrefix + "…", text}
	case strings.HasPrefix(text, "age-encryption.org/v1\n"), strings.HasPrefix(text, "-----BEGIN AGE ENCRYPTED FILE-----"):
		return &SealedError{ref, text}
	}
	return nil
}

// Managers returns the schemes of the services that store secrets.
func Managers() []string {
	return []string{"vault", "aws-sm", "azure-kv", "gcp-sm", "conjur", "kubernetes"}
}

// Sources returns the kinds of places that references can point to.
func Sources() (names []string) {
	for _, s := range schemes {
		names = append(names, strings.TrimSuffix(s.prefix, ":"))
	}
	return append(names, append(Managers(), Stored)...)
}

// Stored is the source of credentials that the database holds, encrypted. Nobody writes
// references to it.
const Stored = "stored"

// SourceOf returns the kind of place that a reference points to; "" if it is not a reference.
func SourceOf(ref string) string {
	if !IsReference(ref) && !strings.HasPrefix(ref, Stored+":") {
		return ""
	}
	source, _, _ := strings.Cut(ref, ":")
	return source
}

// Kept is a reference to a secret in a manager.
type Kept struct {
	Scheme string // the manager's
	Name   string // the secret's
	Field  string // "" means the whole secret
}

// Managed splits SCHEME:NAME, or SCHEME:NAME#FIELD for a secret with several fields.
// SCHEME://NAME means the same as SCHEME:NAME.
func Managed(ref string) (k Kept, ok bool) {
	scheme, name, found := strings.Cut(ref, ":")
	if !found || !slices.Contains(Managers(), scheme) {
		return Kept{}, false
	}
	name, field, _ := strings.Cut(strings.TrimPrefix(name, "//"), "#")
	return Kept{scheme, name, field}, true
}

// UnmanagedError reports a reference to a manager that is not configured.
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

// Trimmed returns the credential in text, which was found at ref, without surrounding white
// space, which editors and shells leave behind.
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

// Variable returns the environment variable that ref refers to, if any.
func Variable(ref string) (name string, ok bool) { return strings.CutPrefix(ref, "env:") }

// File returns the file that ref refers to, if any.
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

// NotSetError reports that an environment variable in a reference is not set.
type NotSetError struct{ Name string }

// Error names the variable.
func (e *NotSetError) Error() string {
	return fmt.Sprintf("secret: environment variable %s is not set", e.Name)
}

// isName checks a variable's name, to keep a credential written after env: out of error messages.
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

// UnsafeError reports a credential file whose permissions are too wide: other users can read
// it, or put a credential of their own into it.
type UnsafeError struct{ Path, Who string }

// Error says what to do.
func (e *UnsafeError) Error() string {
	return fmt.Sprintf("secret: %s %s; run: chmod 600 %s", e.Who, e.Path, e.Path)
}

// private refuses a path that is not a regular file, and a file that every user of the
// machine can read or that users other than its owner can write. Windows does not keep its
// permissions in the mode.
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

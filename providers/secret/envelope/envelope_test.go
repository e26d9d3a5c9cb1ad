package envelope_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"tallyroute/providers/secret/envelope"
)

func key(t *testing.T) envelope.Key {
	t.Helper()
	text, err := envelope.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := envelope.ParseKey(" " + text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t *testing.T, r *envelope.Ring, secret, about string) []byte {
	t.Helper()
	blob, err := r.Seal(secret, about)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

// TestSealedSecretOpensOnlyWhereItBelongs: not in another place, not with any byte changed, and
// not with another key.
func TestSealedSecretOpensOnlyWhereItBelongs(t *testing.T) {
	k := key(t)
	ring := envelope.NewRing(k)
	blob := seal(t, ring, "sk-secret", "cred_1@1")
	if bytes.Contains(blob, []byte("sk-secret")) || bytes.Equal(blob, seal(t, ring, "sk-secret", "cred_1@1")) {
		t.Error("the secret, or that two are the same, can be read")
	}
	if got, err := ring.Open(blob, "cred_1@1"); err != nil || got != "sk-secret" || envelope.KeyOf(blob) != k.ID() {
		t.Fatalf("%q, %v, under %s", got, err, envelope.KeyOf(blob))
	}
	for _, about := range []string{"cred_1@2", "cred_2@1", ""} {
		if got, err := ring.Open(blob, about); !errors.Is(err, envelope.ErrSealed) || got != "" {
			t.Errorf("moved to %q: %q, %v", about, got, err)
		}
	}
	for i := range blob {
		changed := bytes.Clone(blob)
		changed[i] ^= 1
		if _, err := ring.Open(changed, "cred_1@1"); err == nil {
			t.Errorf("byte %d may be changed", i)
		}
		if _, err := ring.Open(blob[:i], "cred_1@1"); err == nil {
			t.Errorf("it opens with %d bytes", i)
		}
	}
	var unknown *envelope.UnknownKeyError
	if _, err := envelope.NewRing(key(t)).Open(blob, "cred_1@1"); !errors.As(err, &unknown) || unknown.ID != k.ID() {
		t.Errorf("under another key: %v", err)
	}
}

// TestRekeyedSecretNeedsOnlyTheNewKey also checks that rekeying twice changes nothing.
func TestRekeyedSecretNeedsOnlyTheNewKey(t *testing.T) {
	old, fresh := key(t), key(t)
	blob := seal(t, envelope.NewRing(old), "sk-secret", "a")
	both := envelope.NewRing(fresh, old)
	if got, err := both.Open(blob, "a"); err != nil || got != "sk-secret" {
		t.Fatalf("before: %q, %v", got, err)
	}
	if _, _, err := both.Rekey(blob, "b"); !errors.Is(err, envelope.ErrSealed) {
		t.Errorf("rekeyed for another row: %v", err)
	}
	moved, changed, err := both.Rekey(blob, "a")
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	if got, err := envelope.NewRing(fresh).Open(moved, "a"); err != nil || got != "sk-secret" {
		t.Errorf("after: %q, %v", got, err)
	}
	if again, changed, err := both.Rekey(moved, "a"); err != nil || changed || !bytes.Equal(again, moved) {
		t.Errorf("twice: %t, %v", changed, err)
	}
	if _, _, err := envelope.NewRing(fresh).Rekey(blob, "a"); err == nil {
		t.Error("rekeyed without the old key")
	}
}

func TestWhatIsNoKeyIsRefused(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("a", 32), strings.Repeat("ab", 31), strings.Repeat("A", 44)} {
		if _, err := envelope.ParseKey(text); !errors.Is(err, envelope.ErrKey) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := envelope.ParseKey(strings.Repeat("ab", 32)); err != nil {
		t.Errorf("hex: %v", err)
	}
	if _, err := envelope.NewRing().Seal("x", ""); !errors.Is(err, envelope.ErrNoKey) {
		t.Errorf("sealed with nothing: %v", err)
	}
}

package age_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"filippo.io/age/armor"

	"tallyroute/providers/secret/age"
)

func TestOnlyTheIdentityOpensInEveryForm(t *testing.T) {
	identity, recipient, err := age.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := age.NewIdentity()
	text, err := age.Seal(recipient, "CANARY\n")
	if err != nil || strings.Contains(text, "CANARY") {
		t.Fatal(text, err)
	}
	raw, _ := base64.StdEncoding.DecodeString(text)
	var armored bytes.Buffer
	w := armor.NewWriter(&armored)
	_, _ = w.Write(raw)
	_ = w.Close()
	mine, err := age.Parse("# created: today\n" + identity + "\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, form := range map[string]string{"base64": text, "binary": string(raw), "armored": armored.String()} {
		if got, err := mine.Open(form); got != "CANARY\n" || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		theirs, _ := age.Parse(other)
		if got, err := theirs.Open(form); got != "" || err == nil || !strings.Contains(err.Error(), "another identity") {
			t.Errorf("%s by another: %q, %v", name, got, err)
		}
		if got, err := mine.Open(form[:len(form)-8]); got != "" || err == nil {
			t.Errorf("%s, cut: %q, %v", name, got, err)
		}
	}
	for _, wrong := range []string{"", "canary-of-an-identity"} {
		if _, err := age.Parse(wrong); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", wrong, err)
		}
		if _, err := age.Seal(wrong, "x"); err == nil {
			t.Errorf("%q is a recipient", wrong)
		}
	}
}

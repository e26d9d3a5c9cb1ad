package billing

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
)

func TestSecretsAreFoundWhereverTheyStand(t *testing.T) {
	for _, before := range []int{0, 1, 63, 64<<10 - 64, 64<<10 - 63, 64<<10 - 10, 64 << 10, 200_000} {
		var want []string
		var text strings.Builder
		text.WriteString(strings.Repeat("x\n", before/2) + strings.Repeat("x", before%2))
		for _, env := range environments {
			s, err := NewSecret(env, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&text, "key=%q,\nsk-tr-%s-notakey %sx", s.Reveal(), env, s.Reveal()[:len(s.Reveal())-8]+"00000000")
			want = append(want, fmt.Sprint(s.Reveal(), " ", before/2+1+len(want)))
		}
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(text.String()), "by bytes": iotest.OneByteReader(strings.NewReader(text.String())),
			"UTF-16LE": strings.NewReader(wide(binary.LittleEndian, text.String())),
			"UTF-16BE": iotest.OneByteReader(strings.NewReader(wide(binary.BigEndian, text.String()))),
		} {
			var got []string
			err := SecretsIn(r, func(s Secret, line int) { got = append(got, fmt.Sprint(s.Reveal(), " ", line)) })
			if err != nil || strings.Join(got, ",") != strings.Join(want, ",") {
				t.Errorf("%s, %d bytes before: found %q, want %q, %v", name, before, got, want, err)
			}
		}
	}
}

// TestSecretsAreNotStoredInTexts: of a secret that is where it does not belong, the part that may be
// shown is left, and of texts that only look like one, everything.
func TestSecretsAreNotStoredInTexts(t *testing.T) {
	s, err := NewSecret("dev", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		s.Reveal(): s.Display(), "a " + s.Reveal() + ", " + s.Reveal() + "!": "a " + s.Display() + ", " + s.Display() + "!",
		s.Display(): s.Display(), "sk-tr-dev-nothing": "sk-tr-dev-nothing", "": "",
		s.Reveal() + strings.Repeat("x", LongestText): (s.Display() + strings.Repeat("x", LongestText))[:LongestText],
	} {
		if got := CleanText(text); got != want {
			t.Errorf("%.80q is stored as %.80q, want %.80q", text, got, want)
		}
		if HoldsSecret([]byte(text)) != strings.Contains(text, s.Reveal()) {
			t.Errorf("%.80q holds a secret: %t", text, HoldsSecret([]byte(text)))
		}
	}
}

// wide returns text in UTF-16 with a byte order mark, after a character that is not in ASCII.
func wide(order binary.AppendByteOrder, text string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune("\ufeffü" + text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

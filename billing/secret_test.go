package billing

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

func newSecret(t testing.TB, env string) Secret {
	t.Helper()
	s, err := NewSecret(env, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newPepper(t testing.TB) Pepper {
	t.Helper()
	p, err := NewPepper(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSecret(t *testing.T) {
	for _, env := range []string{"prod", "staging", "dev", "admin"} {
		s := newSecret(t, env)
		if !regexp.MustCompile(`^sk-tr-` + env + `-[0-9A-Za-z]{49}$`).MatchString(s.Reveal()) {
			t.Errorf("unexpected form: %s", s.Reveal())
		}
		again, err := ParseSecret(s.Reveal())
		if err != nil || !again.Equal(s) || again.Environment() != env {
			t.Errorf("%s reads back as %q in %q: %v", s.Reveal(), again.Reveal(), again.Environment(), err)
		}
		text := s.Reveal()
		if want := "sk-tr-" + env + "-" + text[len(text)-49:len(text)-45] + "…" + text[len(text)-4:]; s.Display() != want {
			t.Errorf("displays as %s, want %s", s.Display(), want)
		}
		if !strings.HasSuffix(text, s.Last4()) || len(s.Last4()) != 4 {
			t.Errorf("last four of %s are %q", text, s.Last4())
		}
	}
}

func TestSecret_Checksum(t *testing.T) {
	for range 1000 {
		text := newSecret(t, "prod").Reveal()
		body := text[:len(text)-6]
		sum := uint32(0)
		for _, c := range []byte(text[len(text)-6:]) {
			sum = sum*62 + uint32(strings.IndexByte(base62, c))
		}
		if sum != crc32.ChecksumIEEE([]byte(body)) {
			t.Fatalf("%s does not end in the checksum of %s", text, body)
		}
	}
}

func TestNewSecret_Faults(t *testing.T) {
	if _, err := NewSecret("production", rand.Reader); err == nil {
		t.Error("an unknown environment is accepted")
	}
	broken := errors.New("no entropy")
	if s, err := NewSecret("prod", iotest.ErrReader(broken)); !errors.Is(err, broken) || s.Reveal() != "" {
		t.Errorf("got %q, %v from a broken source", s.Reveal(), err)
	}
}

// Characters are drawn evenly: with 43 of them, 256 bits are in a secret.
func TestNewSecret_Even(t *testing.T) {
	counts := make(map[byte]int)
	const secrets = 4000
	for range secrets {
		text := newSecret(t, "dev").Reveal()
		for i := len(text) - 49; i < len(text)-6; i++ {
			counts[text[i]]++
		}
	}
	want := secrets * 43 / 62
	for i := range len(base62) {
		if n := counts[base62[i]]; n < want*85/100 || n > want*115/100 {
			t.Errorf("%c came %d times, about %d expected", base62[i], n, want)
		}
	}
}

func TestMalformedSecretsAreRefused(t *testing.T) {
	good := newSecret(t, "prod").Reveal()
	flip := func(i int) string {
		c := byte('a')
		if good[i] == c {
			c = 'b'
		}
		return good[:i] + string(c) + good[i+1:]
	}
	bad := []string{
		"", " ", "Bearer", "' OR 1=1--", "%00", "\x00", "🔑", "sk-", "sk-tr-", "sk-tr-prod-", "sk-tr--" + good[11:],
		strings.Repeat("a", 64<<10), good + strings.Repeat("a", 64<<10), good + " ", " " + good, good + "\n", good + "\x00",
		strings.ToUpper(good), strings.ToLower(good), good[:len(good)-1], good + "a", good[1:], "bearer " + good,
		strings.Replace(good, "prod", "live", 1), strings.Replace(good, "prod", "dev", 1), strings.Replace(good, "prod-", "prod_", 1),
		good[:20] + "é" + good[22:], strings.Repeat("\xff", len(good)), "sk-tr-prod-" + strings.Repeat("0", 49),
	}
	for i := range good {
		bad = append(bad, flip(i))
	}
	for _, text := range bad {
		s, err := ParseSecret(text)
		if !errors.Is(err, ErrMalformedKey) || s.Reveal() != "" {
			t.Errorf("%.80q: got %v", text, err)
		}
		if n := testing.AllocsPerRun(10, func() { _, _ = ParseSecret(text) }); n != 0 {
			t.Errorf("%.80q costs %v allocations", text, n)
		}
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add("sk-tr-prod-" + strings.Repeat("0", 49))
	f.Add(newSecret(f, "dev").Reveal())
	f.Add("\x00\xff")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(text)
		if err == nil && s.Reveal() != text {
			t.Errorf("%q reads as %q", text, s.Reveal())
		}
		if err != nil && (!errors.Is(err, ErrMalformedKey) || s.text != nil) {
			t.Errorf("%q: %v", text, err)
		}
		_, _, _ = s.Display(), s.Last4(), s.Environment()
	})
}

func TestSecret_NeverPrints(t *testing.T) {
	s, p := newSecret(t, "prod"), newPepper(t)
	raw := *p.key
	inner := struct {
		S      Secret
		hidden Secret
		Many   []Secret
		By     map[string]*Secret
		pepper Pepper
	}{s, s, []Secret{s}, map[string]*Secret{"x": &s}, p}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%w", "%T"} {
		for _, v := range []any{s, &s, p, &p, inner, &inner, []any{s, p}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	fmt.Fprintln(&out, s, p, inner, fmt.Errorf("wrapped: %v", s))
	for _, v := range []any{s, &s, p, inner, map[string]any{"key": s}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		out.Write(text)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("secrets", "s", s, "p", p, "inner", inner)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("secrets", "s", s, "p", p, "inner", inner)
	body := s.Reveal()[len("sk-tr-prod-"):]
	for name, text := range map[string]string{
		"secret": body, "part of it": body[:8], "secret in hex": hex.EncodeToString([]byte(body)),
		"secret in capital hex": strings.ToUpper(hex.EncodeToString([]byte(body))),
		"pepper":                raw, "pepper in hex": hex.EncodeToString([]byte(raw)), "pepper in base64": p.Reveal(),
		"pepper in numbers": strings.Trim(fmt.Sprintf("%d", []byte(raw)), "[]"),
	} {
		if strings.Contains(out.String(), text) {
			t.Errorf("the %s was printed", name)
		}
	}
	if got := fmt.Sprint(s); got != "[redacted]" {
		t.Errorf("prints %q", got)
	}
}

func TestSecretsWithSharedBeginningsDiffer(t *testing.T) {
	p := newPepper(t)
	text := newSecret(t, "prod").Reveal()
	seen := map[[32]byte]int{mustParse(t, text).Hash(p): len(text)}
	for i := len("sk-tr-prod-"); i < len(text)-6; i++ {
		other := []byte(text[:len(text)-6])
		other[i] = base62[(strings.IndexByte(base62, other[i])+1)%62]
		sum := checksum(string(other))
		hash := mustParse(t, string(other)+string(sum[:])).Hash(p)
		if j, ok := seen[hash]; ok {
			t.Errorf("secrets that share %d and %d characters have one hash", i, j)
		}
		seen[hash] = i
	}
}

func mustParse(t *testing.T, text string) Secret {
	t.Helper()
	s, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A copy of the database, which has hashes but no pepper, verifies no key.
func TestDumpWithoutPepperGivesNoKeyAway(t *testing.T) {
	p, other := newPepper(t), newPepper(t)
	dump := make(map[[32]byte]bool)
	var secrets []Secret
	for range 10_000 {
		s := newSecret(t, "prod")
		secrets = append(secrets, s)
		dump[s.Hash(p)] = true
	}
	for _, s := range secrets {
		if dump[s.Hash(other)] || dump[s.Hash(Pepper{})] || dump[sha256.Sum256([]byte(s.Reveal()))] {
			t.Fatal("a key was verified without the pepper")
		}
		if !dump[s.Hash(p)] {
			t.Fatal("a key was not verified with the pepper")
		}
	}
}

func TestSecret_Hash(t *testing.T) {
	// RFC 4231, test case 1, with the key and the text in place.
	key, text := string(bytes.Repeat([]byte{0x0b}, 20)), "Hi There"
	got := Secret{text: &text}.Hash(Pepper{key: &key})
	if want := "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"; hex.EncodeToString(got[:]) != want {
		t.Errorf("got %x, want %s", got, want)
	}
}

func TestParsePepper(t *testing.T) {
	p := newPepper(t)
	raw := []byte(*p.key)
	for name, text := range map[string]string{
		"own form":     p.Reveal(),
		"hex":          hex.EncodeToString(raw),
		"capital hex":  strings.ToUpper(hex.EncodeToString(raw)),
		"base64":       base64.StdEncoding.EncodeToString(raw),
		"no padding":   base64.RawStdEncoding.EncodeToString(raw),
		"base64 url":   base64.URLEncoding.EncodeToString(raw),
		"a line's end": p.Reveal() + "\r\n",
	} {
		got, err := ParsePepper(text)
		if err != nil || got.ID() != p.ID() || got.Reveal() != p.Reveal() {
			t.Errorf("%s: got another pepper, %v", name, err)
		}
	}
	phrase := "correct horse battery staple, and then some"
	if got, err := ParsePepper(phrase); err != nil || *got.key != phrase {
		t.Errorf("a phrase is not taken as it is: %v", err)
	}
	for _, text := range []string{"", "changeme", strings.Repeat("a", 31), "  " + strings.Repeat("a", 31)} {
		if _, err := ParsePepper(text); !errors.Is(err, ErrPepper) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestPepper_ID(t *testing.T) {
	p, other := newPepper(t), newPepper(t)
	again, err := ParsePepper(p.Reveal())
	if err != nil || again.ID() != p.ID() || p.ID() == other.ID() || !regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(p.ID()) {
		t.Errorf("ids are %s and %s", p.ID(), other.ID())
	}
	if hash := (Secret{}).Hash(p); strings.HasPrefix(hex.EncodeToString(hash[:]), p.ID()) {
		t.Error("the id is the beginning of a hash")
	}
}

func TestNewID(t *testing.T) {
	seen := make(map[string]bool)
	form := regexp.MustCompile(`^key_[0-7][0-9A-HJKMNP-TV-Z]{25}$`)
	for range 10_000 {
		id := NewID("key_")
		if seen[id] || !form.MatchString(id) {
			t.Fatalf("%s is malformed or came twice", id)
		}
		seen[id] = true
	}
}

func BenchmarkNewID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewID("req_")
	}
}

func BenchmarkSecret(b *testing.B) {
	s, p := newSecret(b, "prod"), newPepper(b)
	text := s.Reveal()
	wrong := text[:len(text)-1] + "!"
	mistyped := text[:30] + "00000" + text[35:]
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = ParseSecret(text)
		}
	})
	b.Run("parse wrong form", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = ParseSecret(wrong)
		}
	})
	b.Run("parse wrong checksum", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = ParseSecret(mistyped)
		}
	})
	b.Run("hash", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Hash(p)
		}
	})
}

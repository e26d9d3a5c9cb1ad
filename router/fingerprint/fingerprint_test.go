package fingerprint

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers/chat"
)

var march = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

func parse(tb testing.TB, body string) *chat.Request {
	tb.Helper()
	r, err := chat.ParseRequest([]byte(body))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

const hello = `{"model":"m","messages":[{"role":"user","content":"hello"}],"temperature":0,"max_tokens":5}`

// TestFingerprintTellsWhatIsAsked: the fingerprint is the same for the same request, whoever
// sends it and however, and differs for anything that asks for something else.
func TestFingerprintTellsWhatIsAsked(t *testing.T) {
	p := New([32]byte{1})
	print, prefixes := p.Of("proj_1", march, parse(t, hello))
	for name, body := range map[string]string{
		"itself":           hello,
		"order of members": `{"max_tokens":5,"messages":[{"role":"user","content":"hello"}],"model":"m","temperature":0}`,
		"how it is sent": `{"model":"m","messages":[{"role":"user","content":"hello"}],"temperature":0,"max_tokens":5,"stream":true,` +
			`"user":"ann","metadata":{"a":"b"}}`,
	} {
		if got, prefix := p.Of("proj_1", march.Add(time.Hour), parse(t, body)); !bytes.Equal(got, print) || !bytes.Equal(prefix, prefixes) {
			t.Errorf("%s: %x, %x", name, got, prefix)
		}
	}
	seen := map[string]string{string(print): "the request"}
	for name, body := range map[string]string{
		"message":  strings.Replace(hello, "hello", "hallo", 1),
		"role":     strings.Replace(hello, `"user"`, `"system"`, 1),
		"model":    strings.Replace(hello, `"m"`, `"n"`, 1),
		"member":   strings.Replace(hello, `:0`, `:1`, 1),
		"tools":    strings.Replace(hello, `"temp`, `"tools":[{"type":"function","function":{"name":"f"}}],"temp`, 1),
		"another":  strings.Replace(hello, `}]`, `},{"role":"user","content":"hello"}]`, 1),
		"no bound": strings.Replace(hello, `,"max_tokens":5`, "", 1),
	} {
		got, _ := p.Of("proj_1", march, parse(t, body))
		if other, same := seen[string(got)]; same {
			t.Errorf("another %s looks like %s", name, other)
		}
		seen[string(got)] = name
	}
}

// TestFingerprintIsOfOneProjectMonthAndInstallation: in another project, month or installation
// it has nothing in common except the version.
func TestFingerprintIsOfOneProjectMonthAndInstallation(t *testing.T) {
	p := New([32]byte{1})
	print, prefixes := p.Of("proj_1", march, parse(t, hello))
	for name, other := range map[string]func() ([]byte, []byte){
		"project":      func() ([]byte, []byte) { return p.Of("proj_2", march, parse(t, hello)) },
		"month":        func() ([]byte, []byte) { return p.Of("proj_1", march.AddDate(0, 1, 0), parse(t, hello)) },
		"installation": func() ([]byte, []byte) { return New([32]byte{2}).Of("proj_1", march, parse(t, hello)) },
	} {
		got, prefix := other()
		if bytes.Equal(got[3:], print[3:]) || bytes.Equal(prefix, prefixes) {
			t.Errorf("another %s gives the same", name)
		}
		if same := bytes.Equal(got[:3], print[:3]); same == (name == "month") {
			t.Errorf("another %s: version and month are %x and %x", name, got[:3], print[:3])
		}
	}
	if got, _ := p.Of("proj_1", march, parse(t, hello)); !bytes.Equal(got, print) {
		t.Error("not the same after another month")
	}
}

// conversation returns a conversation with n messages.
func conversation(n int) string {
	var b strings.Builder
	b.WriteString(`{"model":"m","messages":[`)
	for i := range n {
		fmt.Fprintf(&b, `{"role":"user","content":"message %d"},`, i)
	}
	return strings.TrimSuffix(b.String(), ",") + `]}`
}

func prefix(all []byte, i int) []byte { return all[i*billing.PrefixSize : (i+1)*billing.PrefixSize] }

// TestPrefixesTellHowFarRequestsAreAlike: a continued conversation has the prefixes of what
// came before, and a long one those of its beginning and its end.
func TestPrefixesTellHowFarRequestsAreAlike(t *testing.T) {
	p := New([32]byte{1})
	of := func(body string) []byte {
		_, prefixes := p.Of("proj_1", march, parse(t, body))
		return prefixes
	}
	short, longer := of(conversation(3)), of(conversation(5))
	if len(short) != 3*billing.PrefixSize || !bytes.HasPrefix(longer, short) {
		t.Errorf("%x does not begin with %x", longer, short)
	}
	changed := of(strings.Replace(conversation(5), "message 2", "something else", 1))
	if !bytes.Equal(prefix(changed, 1), prefix(longer, 1)) || bytes.Equal(prefix(changed, 2), prefix(longer, 2)) ||
		bytes.Equal(prefix(changed, 4), prefix(longer, 4)) {
		t.Errorf("%x and %x", changed, longer)
	}
	before, after := of(conversation(100)), of(conversation(102))
	last := mostFirst + mostLast - 1
	if len(after) != (last+1)*billing.PrefixSize || !bytes.Equal(after[:mostFirst*billing.PrefixSize],
		longer[:mostFirst*billing.PrefixSize]) ||
		!bytes.Equal(prefix(after, last-2), prefix(before, last)) {
		t.Errorf("%x and %x", before, after)
	}
}

func four(tb testing.TB) *chat.Request {
	return parse(tb, `{"model":"gpt-4o","temperature":0.2,"messages":[{"role":"system","content":"`+strings.Repeat("You are terse. ", 130)+
		`"},{"role":"user","content":"`+strings.Repeat("A question of some length? ", 70)+`"}]}`)
}

func TestFourKilobytesTakeAtMostFiveMicroseconds(t *testing.T) {
	p, r := New([32]byte{1}), four(t)
	if n := len(r.Body()); n < 3900 || n > 4300 {
		t.Fatalf("%d bytes", n)
	}
	got := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			p.Of("proj_1", march, r)
		}
	})
	prove.Within(t, "a fingerprint of 4 KB", time.Duration(got.NsPerOp()), 5*time.Microsecond)
}

func BenchmarkFingerprint(b *testing.B) {
	p, r := New([32]byte{1}), four(b)
	b.ReportAllocs()
	for b.Loop() {
		p.Of("proj_1", march, r)
	}
}

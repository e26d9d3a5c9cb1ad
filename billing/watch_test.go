package billing

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestEndOfAKeyEndsWhoeverFollowsIt(t *testing.T) {
	w := NewKeyWatch()
	ended := map[string]error{}
	follow := func(name string, id KeyID) func() {
		return w.Follow(&Key{ID: id}, func(why error) { ended[name] = why })
	}
	follow("a", "key_1")
	stop := follow("b", "key_1")
	follow("c", "key_2")
	stop()
	w.End("key_1", ErrRevoked)
	w.End("key_1", ErrRevoked)
	if len(ended) != 1 || !errors.Is(ended["a"], ErrRevoked) || w.Follows("key_1") || !w.Follows("key_2") {
		t.Errorf("ended %v, followed %v", ended, w.Followed())
	}
	again := follow("d", "key_1")
	again()
	if got := w.Followed(); len(got) != 1 || got[0] != "key_2" {
		t.Errorf("followed: %v", got)
	}
}

func TestUsesOfSecretsAreCounted(t *testing.T) {
	w := NewKeyWatch()
	at := time.Unix(1_800_000_000, 0)
	old := &Key{ID: "key_1", Secret: SecretState{Number: 1, Until: at.Add(time.Hour), Shared: true}}
	fresh := &Key{ID: "key_1", Secret: SecretState{Number: 2, Shared: true}}
	from := netip.MustParseAddr("10.0.0.1")
	w.Note(old, from, "curl/8", at)
	w.Note(old, from, "curl/8", at.Add(time.Second))
	w.Note(fresh, from, "curl/8", at)
	got := map[int]SecretUse{}
	for _, u := range w.Uses() {
		got[u.Number] = u
	}
	if u := got[1]; u.Requests != 2 || u.From["10.0.0.1"] != 2 || u.Agents["curl/8"] != 2 || !u.At.Equal(at.Add(time.Second)) {
		t.Errorf("the old secret: %+v", u)
	}
	if u := got[2]; u.Requests != 1 || u.From != nil {
		t.Errorf("the new secret: %+v", u)
	}
	if left := w.Uses(); len(left) != 0 {
		t.Errorf("counted twice: %v", left)
	}
}

func TestUseOfAVersionStaysSmall(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	more := SecretUse{At: at, Requests: 1 << 40, From: map[string]int64{}, Agents: map[string]int64{}}
	for n := range 100 {
		more.From[netip.AddrFrom16([16]byte{0x20, 1, 15: byte(n)}).String()+"ffff:ffff:ffff:ffff:ffff"] = 1 << 40
		more.Agents[string(rune('a'+n%26))+"-agent-with-a-very-long-name-\xff-"+string(rune('0'+n/26))] = int64(n)
	}
	u := VersionUse{}
	for range 15 {
		more.At = more.At.Add(useSlot)
		u = u.Plus(more)
	}
	text := u.String()
	if len(text) > mostUse || len(u.Counts) != useSlots || len(u.From) != mostCaller {
		t.Errorf("%d bytes, %d slots, %d addresses", len(text), len(u.Counts), len(u.From))
	}
	if back := ParseVersionUse(text); back.Requests(more.At) != u.Requests(more.At) || len(back.From) == 0 || len(back.Agents) == 0 {
		t.Errorf("read back: %+v", back)
	}
	if n := ParseVersionUse("nonsense").Requests(at); n != 0 {
		t.Error(n)
	}
}

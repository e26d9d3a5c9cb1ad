package limit

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"
)

func open(b *Bytes, key string) *Share {
	s := b.Open()
	s.Of(key)
	return s
}

func TestBytesBoundsOfAKeyAndOfAll(t *testing.T) {
	b := NewBytes(100, 1000)
	one, two := open(b, "key_1"), open(b, "key_1")
	if err := errors.Join(one.Admit(60), two.Admit(40)); err != nil {
		t.Fatal(err)
	}
	var full *FullError
	if err := two.Admit(1); !errors.As(err, &full) || !full.Key || full.Limit != 100 {
		t.Errorf("got %v, want the bound of the key", err)
	}
	one.Close()
	one.Close()
	if err := two.Admit(60); err != nil {
		t.Errorf("what was given back cannot be taken: %v", err)
	}
	if got := b.Used(); got != 100 {
		t.Errorf("%d bytes are held, want 100", got)
	}
	two.Shrink(1000)
	if got := b.Used(); got != 0 || len(b.keys) != 0 {
		t.Errorf("%d bytes are held by %d keys after all was given back", got, len(b.keys))
	}
}

func TestBytesLeaveRoomForAnswersAndForKeysThatHoldLittle(t *testing.T) {
	b := NewBytes(640, 640)
	big, little := open(b, "big"), open(b, "little")
	var full *FullError
	if err := big.Admit(481); !errors.As(err, &full) || full.Key {
		t.Errorf("got %v, want the bound of all: a quarter is left", err)
	}
	if err := big.Admit(480); err != nil {
		t.Fatal(err)
	}
	if err := big.Admit(1); err == nil {
		t.Error("a body of a key that holds much took from the last quarter")
	}
	if err := little.Admit(10); err != nil {
		t.Errorf("a key that holds little is locked out: %v", err)
	}
	if err := little.Admit(1); err == nil {
		t.Error("a key took more than little from the last quarter")
	}
	if err := big.Grow(150); err != nil {
		t.Errorf("an answer finds no room: %v", err)
	}
	if err := big.Grow(1); err == nil {
		t.Error("an answer took more than there is")
	}
}

func TestBytesWithoutABoundAdmitAll(t *testing.T) {
	var none *Bytes
	for name, s := range map[string]*Share{"no budget": open(none, "k"), "no bounds": open(NewBytes(0, 0), "k")} {
		if err := errors.Join(s.Admit(1<<50), s.Grow(1<<50)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.Shrink(1)
		s.Close()
	}
}

func TestBytesAddUpUnderRaces(t *testing.T) {
	const most = 1 << 20
	b := NewBytes(0, most)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for n := range int64(200) {
				s := open(b, "key_"+strconv.Itoa(i%5))
				_ = s.Admit(n * 97)
				_ = s.Grow(n)
				s.Shrink(n / 2)
				if used := b.Used(); used > most || used < 0 {
					t.Errorf("%d bytes are held, at most %d may be", used, most)
				}
				s.Close()
			}
		})
	}
	wg.Wait()
	if b.Used() != 0 || len(b.keys) != 0 {
		t.Errorf("%d bytes are held by %d keys after all have ended", b.Used(), len(b.keys))
	}
}

func TestBodiesOfOneKeyComeAtAPace(t *testing.T) {
	b := NewBytes(0, 1<<30)
	one, other := open(b, "a"), open(b, "a")
	now := time.Now()
	for _, s := range []*Share{one, other} {
		if err := s.Admit(64 << 20); err != nil {
			t.Fatal(err)
		}
	}
	if wait := one.Came(10<<20, now); wait > 0 {
		t.Errorf("a large body by itself waits %s", wait)
	}
	if wait := other.Came(64<<20, now); wait < time.Second/2 || wait > time.Second {
		t.Errorf("64 MiB more wait %s", wait)
	}
	if wait := open(b, "b").Came(10<<20, now); wait > 0 {
		t.Errorf("another key waits %s", wait)
	}
	if wait := one.Came(1<<20, now.Add(time.Minute)); wait > 0 {
		t.Errorf("a minute later it waits %s", wait)
	}
}

func TestSlotsBoundWhatIsDoneAtOnce(t *testing.T) {
	s := NewSlots(2)
	if err := errors.Join(s.Take(t.Context()), s.Take(t.Context())); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Do(gone, func() { t.Error("was done without a slot") }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.Free()
	done := false
	if err := s.Do(t.Context(), func() { done = true }); err != nil || !done {
		t.Errorf("done %t: %v", done, err)
	}
	s.Free()
	var none Slots
	if err := none.Do(gone, func() {}); err != nil {
		t.Errorf("no slots: %v", err)
	}
}

func TestBytesDoNotAllocateOnceOpened(t *testing.T) {
	s := open(NewBytes(1000, 10000), "key_01JB3V7Y8N4M6Q2R5T9W0X1Z2C")
	_ = s.Admit(1)
	if n := testing.AllocsPerRun(100, func() { _ = s.Admit(100); s.Shrink(100) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

package billing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// shelf is a store of keys of which only reading by hash is used.
type shelf struct {
	Keys
	mu     sync.Mutex
	keys   map[[32]byte]Key
	err    error
	gate   chan struct{} // where set, reading goes on when something comes
	asked  atomic.Int64
	cancel atomic.Bool // whether a reader was told to stop
}

func (s *shelf) KeyByHash(ctx context.Context, hash [32]byte) (Key, error) {
	s.asked.Add(1)
	s.mu.Lock()
	key, ok := s.keys[hash]
	err, gate := s.err, s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			s.cancel.Store(true)
			return Key{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
	}
	if err != nil {
		return Key{}, err
	}
	if !ok {
		return Key{}, ErrUnknownKey
	}
	return key, nil
}

func (s *shelf) put(hash [32]byte, k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[hash] = k
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *shelf) hold(gate chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = gate
}

// bench is a verifier over a shelf with one key.
type bench struct {
	*Verifier
	shelf  *shelf
	secret Secret
	hash   [32]byte
	key    Key
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func newBench(t testing.TB) bench {
	p, secret := newPepper(t), newSecret(t, "prod")
	b := bench{shelf: &shelf{keys: make(map[[32]byte]Key)}, secret: secret, hash: secret.Hash(p), key: Key{ID: "key_1", Version: 1}}
	b.shelf.put(b.hash, b.key)
	b.Verifier = NewVerifier(b.shelf, p, VerifierOptions{})
	return b
}

func (b bench) want(t *testing.T, now time.Time, queries int64, want error) *Key {
	t.Helper()
	before := b.shelf.asked.Load()
	key, err := b.Verify(t.Context(), b.secret, now)
	if !errors.Is(err, want) || (want == nil && err != nil) {
		t.Fatalf("at +%v: got %v, want %v", now.Sub(noon), err, want)
	}
	if n := b.shelf.asked.Load() - before; n != queries {
		t.Fatalf("at +%v: cost %d queries, want %d", now.Sub(noon), n, queries)
	}
	return key
}

func TestVerifier(t *testing.T) {
	b := newBench(t)
	if key := b.want(t, noon, 1, nil); key.ID != "key_1" {
		t.Errorf("got %v", key)
	}
	b.want(t, noon.Add(time.Second-1), 0, nil)
	b.want(t, noon.Add(time.Second), 1, nil)
	b.want(t, noon.Add(time.Second), 0, nil)
}

func TestRecallSaysWhatIsKnownWithoutAQuery(t *testing.T) {
	b := newBench(t)
	recall := func(at time.Time, wantKey, wantKnown bool, want error) {
		t.Helper()
		before := b.shelf.asked.Load()
		key, known, err := b.Recall(b.secret, at)
		if (key != nil) != wantKey || known != wantKnown || !errors.Is(err, want) {
			t.Errorf("at +%v: got %v, %t, %v", at.Sub(noon), key, known, err)
		}
		if b.shelf.asked.Load() != before {
			t.Error("it cost a query")
		}
	}
	recall(noon, false, false, nil)
	b.want(t, noon, 1, nil)
	recall(noon.Add(999*time.Millisecond), true, true, nil)
	recall(noon.Add(time.Second), false, true, nil)
	b.shelf.put(b.hash, Key{ID: "key_1", Version: 2, RevokedAt: noon})
	b.Changed(KeyNotice{KeyID: "key_1", Version: 2})
	recall(noon.Add(500*time.Millisecond), false, true, nil)
	b.want(t, noon.Add(500*time.Millisecond), 1, ErrRevoked)
	recall(noon.Add(600*time.Millisecond), true, true, ErrRevoked)
	if _, known, _ := b.Recall(newSecret(t, EnvironmentAdmin), noon); known {
		t.Error("an admin token is known")
	}
}

// A secret that ends once it was not used for a while is told as one that ends, too.
func TestReplacedSecretsSayWhenTheyEnd(t *testing.T) {
	for _, c := range []struct {
		state SecretState
		want  time.Time
	}{
		{SecretState{}, time.Time{}},
		{SecretState{Until: noon}, noon},
		{SecretState{Quiet: time.Hour}, noon.Add(time.Hour)},
		{SecretState{Quiet: time.Hour, Until: noon.Add(time.Minute)}, noon.Add(time.Minute)},
	} {
		if got := c.state.Ends(noon); !got.Equal(c.want) {
			t.Errorf("%+v ends at %s, want %s", c.state, got, c.want)
		}
	}
}

// A verifier that is notified that a key has ended refuses it without a query, even while the
// database hangs, and accepts it again once it is notified of that.
func TestWhatIsToldOfAKeyHoldsWithoutTheDatabase(t *testing.T) {
	b := newBench(t)
	b.want(t, noon, 1, nil)
	b.shelf.fail(ErrUnavailable)
	b.Changed(KeyNotice{KeyID: "key_1", Version: 2, Ended: ErrDisabled})
	if key := b.want(t, noon.Add(time.Millisecond), 0, ErrDisabled); key == nil {
		t.Error("the key does not come with its refusal")
	}
	b.want(t, noon.Add(2*time.Second), 1, ErrDisabled)
	b.Changed(KeyNotice{KeyID: "key_1", Version: 1}) // late
	b.want(t, noon.Add(2*time.Second), 0, ErrDisabled)
	b.Changed(KeyNotice{KeyID: "key_1", Version: 3})
	b.want(t, noon.Add(2*time.Second), 1, nil)
	b.Changed(KeyNotice{KeyID: "key_1", Version: 4, Ended: ErrRevoked})
	b.shelf.fail(nil)
	b.want(t, noon.Add(4*time.Second), 1, ErrRevoked) // what is read is older than what was told
	b.shelf.put(b.hash, Key{ID: "key_1", Version: 5})
	b.want(t, noon.Add(6*time.Second), 1, nil)
	b.Changed(KeyNotice{KeyID: "key_1", Version: 5, Ended: ErrStopped}) // which is no new version
	b.want(t, noon.Add(6*time.Second), 0, ErrStopped)
}

// A revocation notice that arrives while a key is read for the first time applies to what is read.
func TestNoticeDuringTheFirstLookUpIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		gate := make(chan struct{})
		b.shelf.hold(gate)
		go func() {
			if _, err := b.Verify(t.Context(), b.secret, noon); !errors.Is(err, ErrRevoked) {
				t.Errorf("got %v", err)
			}
		}()
		synctest.Wait()
		b.Changed(KeyNotice{KeyID: "key_1", Version: 2, Ended: ErrRevoked})
		b.Changed(KeyNotice{KeyID: "key_2", Version: 2, Ended: ErrRevoked})
		gate <- struct{}{}
		synctest.Wait()
		b.want(t, noon, 0, ErrRevoked)
		b.Touched(noon)
		if len(b.told) != 1 {
			t.Errorf("remembers notices of %d keys, want 1", len(b.told))
		}
	})
}

func TestVerifier_NeverAKey(t *testing.T) {
	b := newBench(t)
	for want, s := range map[error]Secret{ErrMalformedKey: {}, ErrUnknownKey: newSecret(t, EnvironmentAdmin)} {
		if key, err := b.Verify(t.Context(), s, noon); !errors.Is(err, want) || key != nil {
			t.Errorf("got %v, %v; want %v", key, err, want)
		}
		if _, err := b.Refresh(t.Context(), s, noon); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if n := b.shelf.asked.Load(); n != 0 {
		t.Errorf("cost %d queries", n)
	}
}

// A revoked key stops within the life of a snapshot.
func TestRevokedKeyIsRefusedWithinASecond(t *testing.T) {
	b := newBench(t)
	b.want(t, noon, 1, nil)
	b.shelf.put(b.hash, Key{ID: "key_1", Version: 2, RevokedAt: noon})
	b.want(t, noon.Add(999*time.Millisecond), 0, nil)
	if key := b.want(t, noon.Add(time.Second), 1, ErrRevoked); key == nil || key.ID != "key_1" {
		t.Error("the key does not come with its refusal")
	}
	b.want(t, noon.Add(1500*time.Millisecond), 0, ErrRevoked)
}

func TestVerifier_Expires(t *testing.T) {
	b := newBench(t)
	b.shelf.put(b.hash, Key{ID: "key_1", Version: 1, ExpiresAt: noon.Add(500 * time.Millisecond)})
	b.want(t, noon, 1, nil)
	b.want(t, noon.Add(500*time.Millisecond), 0, ErrExpired)
}

func TestVerifier_Unknown(t *testing.T) {
	b := newBench(t)
	b.secret = newSecret(t, "prod")
	b.want(t, noon, 1, ErrUnknownKey)
	b.want(t, noon.Add(5*time.Second-1), 0, ErrUnknownKey)
	b.want(t, noon.Add(5*time.Second), 1, ErrUnknownKey)
}

// A key that is gone from the database is gone from memory.
func TestVerifier_Gone(t *testing.T) {
	b := newBench(t)
	b.want(t, noon, 1, nil)
	b.shelf.mu.Lock()
	clear(b.shelf.keys)
	b.shelf.mu.Unlock()
	b.want(t, noon.Add(time.Second), 1, ErrUnknownKey)
	b.shelf.fail(ErrUnavailable)
	b.want(t, noon.Add(2*time.Second), 0, ErrUnknownKey)
}

// Without the database a key is served for 30 s, then nothing is.
func TestKnownKeysAreServedWhileTheDatabaseIsAway(t *testing.T) {
	b := newBench(t)
	b.want(t, noon, 1, nil)
	b.shelf.fail(errors.New("connection refused"))
	b.want(t, noon.Add(time.Second), 1, nil)
	b.want(t, noon.Add(1900*time.Millisecond), 0, nil) // it is not asked for every request
	b.want(t, noon.Add(2*time.Second), 1, nil)
	b.want(t, noon.Add(30*time.Second-1), 1, nil)
	b.want(t, noon.Add(30*time.Second), 0, ErrUnavailable)
	b.want(t, noon.Add(time.Hour), 1, ErrUnavailable)

	stranger := newSecret(t, "prod")
	for range 2 {
		if _, err := b.Verify(t.Context(), stranger, noon); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownKey) {
			t.Errorf("a key that nobody could look up: %v", err)
		}
	}
	b.shelf.fail(nil)
	b.want(t, noon.Add(2*time.Hour), 1, nil)
}

func TestKeyExpiresWhileTheDatabaseIsAway(t *testing.T) {
	b := newBench(t)
	b.shelf.put(b.hash, Key{ID: "key_1", ExpiresAt: noon.Add(10 * time.Second)})
	b.want(t, noon, 1, nil)
	b.shelf.fail(ErrUnavailable)
	b.want(t, noon.Add(9*time.Second), 1, nil)
	b.want(t, noon.Add(10*time.Second), 1, ErrExpired)
}

func TestVerifier_Refresh(t *testing.T) {
	b := newBench(t)
	b.want(t, noon, 1, nil)
	b.shelf.put(b.hash, Key{ID: "key_1", Version: 2})
	key, err := b.Refresh(t.Context(), b.secret, noon)
	if err != nil || key.Version != 2 {
		t.Fatalf("got %v, %v", key, err)
	}
	if key := b.want(t, noon, 0, nil); key.Version != 2 {
		t.Error("what was refreshed is not remembered")
	}
	b.shelf.fail(ErrUnavailable)
	if _, err := b.Refresh(t.Context(), b.secret, noon); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a stale key is taken for a fresh one: %v", err)
	}
}

// A refresh does not share a query that began before what made it necessary.
func TestVerifier_RefreshDoesNotJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		gate := make(chan struct{})
		b.shelf.hold(gate)
		early := make(chan *Key)
		go func() {
			key, _ := b.Verify(t.Context(), b.secret, noon)
			early <- key
		}()
		synctest.Wait()
		b.shelf.put(b.hash, Key{ID: "key_1", Version: 2, RevokedAt: noon})
		b.shelf.hold(nil)
		if _, err := b.Refresh(t.Context(), b.secret, noon); !errors.Is(err, ErrRevoked) {
			t.Errorf("got %v, want the key revoked", err)
		}
		close(gate)
		if key := <-early; key.Version != 2 {
			t.Errorf("an older version %d came after a newer one", key.Version)
		}
		b.want(t, noon, 0, ErrRevoked) // and does not stay
	})
}

// Whoever waits on a query that began long ago does not go by its answer.
func TestSlowQueryDoesNotBringARevokedKeyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		gate := make(chan struct{})
		b.shelf.hold(gate)
		go func() { _, _ = b.Verify(t.Context(), b.secret, noon) }()
		synctest.Wait()
		b.shelf.put(b.hash, Key{ID: "key_1", Version: 2, RevokedAt: noon})
		b.shelf.hold(nil)
		late := make(chan error)
		go func() {
			_, err := b.Verify(t.Context(), b.secret, noon.Add(2*time.Second))
			late <- err
		}()
		synctest.Wait()
		close(gate)
		if err := <-late; !errors.Is(err, ErrRevoked) {
			t.Errorf("got %v, want the key revoked", err)
		}
	})
}

func TestVerifier_OneQueryForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		gate := make(chan struct{})
		b.shelf.hold(gate)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := b.Verify(t.Context(), b.secret, noon); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		if n := b.shelf.asked.Load(); n != 1 {
			t.Errorf("cost %d queries, want 1", n)
		}
	})
}

// One who gives up does not spoil the query for the others.
func TestVerifier_GivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		gate := make(chan struct{})
		b.shelf.hold(gate)
		ctx, cancel := context.WithCancel(t.Context())
		left, stayed := make(chan error), make(chan error)
		go func() {
			_, err := b.Verify(ctx, b.secret, noon)
			left <- err
		}()
		synctest.Wait()
		go func() {
			_, err := b.Verify(t.Context(), b.secret, noon)
			stayed <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		close(gate)
		if err := <-stayed; err != nil || b.shelf.cancel.Load() {
			t.Errorf("got %v, cancelled: %v", err, b.shelf.cancel.Load())
		}
	})
}

func TestVerifier_QueryThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.shelf.hold(make(chan struct{}))
		if _, err := b.Verify(t.Context(), b.secret, noon); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}

// A database that hangs makes a key that is known wait once, and not for long.
func TestKnownKeyWaitsOnceWhileTheDatabaseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		verify := func() (took time.Duration, err error) {
			began := time.Now()
			_, err = b.Verify(t.Context(), b.secret, began)
			return time.Since(began), err
		}
		if _, err := verify(); err != nil {
			t.Fatal(err)
		}
		gate := make(chan struct{})
		b.shelf.hold(gate)
		waited := 0
		for range 200 { // for 20 s
			time.Sleep(100 * time.Millisecond)
			took, err := verify()
			if err != nil || took > 250*time.Millisecond {
				t.Fatalf("after %s: %v", took, err)
			}
			if took > 0 {
				waited++
			}
		}
		if waited != 1 {
			t.Errorf("%d of the requests waited, want the first", waited)
		}
		if n := b.shelf.asked.Load(); n < 3 || n > 25 {
			t.Errorf("asked %d times", n)
		}
		b.shelf.put(b.hash, Key{ID: "key_1", Version: 2, RevokedAt: time.Now()})
		b.shelf.hold(nil)
		close(gate)
		time.Sleep(time.Second)
		_, _ = verify() // asks, and does not wait
		synctest.Wait()
		if _, err := verify(); !errors.Is(err, ErrRevoked) {
			t.Errorf("once the database answers: %v", err)
		}
		b.shelf.put(b.hash, Key{ID: "key_1", Version: 3})
		time.Sleep(time.Second)
		if took, err := verify(); err != nil || took > 0 { // it is quick again, so it is waited for
			t.Errorf("got %v after %s", err, took)
		}
	})
}

func TestVerifier_Touched(t *testing.T) {
	b := newBench(t)
	rotated := newSecret(t, "prod")
	b.shelf.put(rotated.Hash(b.pepper), b.key)
	b.want(t, noon, 1, nil)
	b.want(t, noon.Add(500*time.Millisecond), 0, nil)
	if _, err := b.Verify(t.Context(), rotated, noon.Add(700*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	got := b.Touched(noon.Add(time.Second))
	if want := noon.Add(700 * time.Millisecond); len(got) != 1 || !got["key_1"].Equal(want) {
		t.Errorf("got %v, want key_1 at %v", got, want)
	}
	if got := b.Touched(noon.Add(time.Second)); len(got) != 0 {
		t.Errorf("got %v again", got)
	}
	b.want(t, noon.Add(900*time.Millisecond), 0, nil)
	b.want(t, noon.Add(1100*time.Millisecond), 1, nil) // reading again must not lose the use before it
	b.shelf.put(b.hash, Key{ID: "key_1", Version: 2, RevokedAt: noon})
	b.want(t, noon.Add(3*time.Second), 1, ErrRevoked)
	if got := b.Touched(noon.Add(time.Minute)); !got["key_1"].Equal(noon.Add(1100 * time.Millisecond)) {
		t.Errorf("a refused use counts: %v", got)
	}
	if len(b.known) != 0 {
		t.Errorf("%d snapshots are kept that are too old to serve", len(b.known))
	}
}

func TestVerifier_Races(t *testing.T) {
	b := newBench(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 300 {
				now := noon.Add(time.Duration(j) * 100 * time.Millisecond)
				switch i {
				case 0:
					b.shelf.put(b.hash, Key{ID: "key_1", Version: int64(j)})
				case 1:
					b.Touched(now)
				case 2:
					_, _ = b.Refresh(t.Context(), b.secret, now)
				default:
					if _, err := b.Verify(t.Context(), b.secret, now); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestExpiringSet(t *testing.T) {
	s := newExpiringSet(time.Second, 3)
	hash := func(i byte) [32]byte { return [32]byte{i} }
	for i := range byte(5) {
		s.add(hash(i), noon)
	}
	for i := range byte(5) {
		if got, want := s.has(hash(i), noon), i >= 2; got != want {
			t.Errorf("%d: got %v", i, got)
		}
	}
	if s.has(hash(4), noon.Add(time.Second)) {
		t.Error("it does not expire")
	}
	s.add(hash(4), noon.Add(time.Second))
	if !s.has(hash(4), noon.Add(1500*time.Millisecond)) || len(s.queue) != 3 || len(s.until) != 3 {
		t.Errorf("adding again gives %v", s.until)
	}
}

// A warm check costs no query and little time.
func BenchmarkP09_Verify(b *testing.B) {
	v := newBench(b)
	if _, err := v.Verify(b.Context(), v.secret, noon); err != nil {
		b.Fatal(err)
	}
	text := v.secret.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		s, err := ParseSecret(text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Verify(b.Context(), s, noon); err != nil {
			b.Fatal(err)
		}
	}
	if n := v.shelf.asked.Load(); n != 1 {
		b.Fatalf("cost %d queries", n)
	}
}

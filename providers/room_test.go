package providers_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/providers"
	pt "tallyroute/providers/providertest"
)

// room is a Room with a limited number of bytes.
type room struct {
	mu         sync.Mutex
	left, most int64
	held       int64
}

var errFull = errors.New("no room")

func (r *room) Grow(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held+n > r.left {
		return errFull
	}
	r.held += n
	r.most = max(r.most, r.held)
	return nil
}

func (r *room) Shrink(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held -= n
}

// TestAnswerTakesTheRoomThatItNeeds checks that a response takes only the room that it needs:
// none if it is small, about twice its size if it is large. If there is no room the call
// ends, and nobody is at fault.
func TestAnswerTakesTheRoomThatItNeeds(t *testing.T) {
	picture := strings.Repeat("x", 1600<<10)
	plain := pt.Completion("m", picture, 3, 2)
	list := words()
	streamed := pt.Script(pt.Event(list[0]), pt.Event(strings.Replace(list[1], `"one"`, `"`+picture+`"`, 1)), pt.Event(list[len(list)-2]),
		pt.Event(list[len(list)-1]), pt.Event("[DONE]"))
	for name, tc := range map[string]struct {
		ask    string
		script func() *pt.Upstream
	}{
		"plain":    {ask, func() *pt.Upstream { return pt.NewUpstream(t, pt.JSON(200, plain)) }},
		"streamed": {askStream, func() *pt.Upstream { return pt.NewUpstream(t, streamed) }},
	} {
		for _, left := range []int64{16 << 20, 1 << 20} {
			r := &room{left: left}
			x := exchange(t, tc.script(), tc.ask)
			x.Room = r
			a, err := client(t, providers.Options{}).Do(t.Context(), x)
			if err == nil && a.Stream != nil {
				_, err = rest(a.Stream)
				if errors.Is(err, io.EOF) {
					err = nil
				}
				_ = a.Close()
			}
			var pe *providers.Error
			switch full := left < 2<<20; {
			case !full && (err != nil || r.most < 1600<<10 || r.most > 8<<20):
				t.Errorf("%s with room: %v, at most %d bytes", name, err, r.most)
			case full && (!errors.As(err, &pe) || pe.Kind != providers.KindRoom || !errors.Is(err, errFull) || pe.Kind.Failover() ||
				!pe.Charged()):
				t.Errorf("%s without room: %v", name, err)
			}
		}
	}
}

// TestCommentsShowThatAProviderLives checks that until the first content a provider need only
// send something now and then, for as long as its target allows.
func TestCommentsShowThatAProviderLives(t *testing.T) {
	list := words()
	steps := []pt.Step{}
	for n := range 6 {
		next := make(chan struct{})
		time.AfterFunc(time.Duration(n)*60*time.Millisecond, func() { close(next) })
		steps = append(steps, pt.Write(": PROCESSING\n\n"), pt.Until(next))
	}
	for _, d := range list {
		steps = append(steps, pt.Event(d))
	}
	steps = append(steps, pt.Event("[DONE]"))
	u := pt.NewUpstream(t, pt.Script(steps...))
	x := exchange(t, u, askStream)
	x.Target.FirstTimeout = time.Minute
	a := succeeds(t, client(t, providers.Options{FirstTimeout: 100 * time.Millisecond}), x)
	if got, err := rest(a.Stream); !errors.Is(err, io.EOF) || len(got) != len(list) {
		t.Errorf("%q, %v", got, err)
	}
}

package providers_test

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/providers"
	pt "tallyroute/providers/providertest"
)

// Over HTTP/2, too, a request that the provider says it did not process is free, and any
// other request that was sent may be billed.
func TestHTTP2SaysWhetherACallMayBeBilled(t *testing.T) {
	reset := func(why uint32) func(w pt.Wire, stream uint32) {
		return func(w pt.Wire, s uint32) { w.Frame(pt.FrameReset, s, pt.Numbers(why)...) }
	}
	for name, c := range map[string]struct {
		answer func(w pt.Wire, stream uint32)
		sent   bool
		asked  int64 // at most
	}{
		"refused stream":              {reset(pt.RefusedStream), false, mostAsked},
		"shut down before the stream": {func(w pt.Wire, _ uint32) { w.Frame(pt.FrameGoAway, 0, pt.Numbers(0, pt.NoError)...) }, false, 12},
		"broken off before the stream": {
			func(w pt.Wire, _ uint32) { w.Frame(pt.FrameGoAway, 0, pt.Numbers(0, pt.EnhanceYourCalm)...) },
			false, 1,
		},
		"reset":  {reset(pt.InternalError), true, 1},
		"closed": {func(w pt.Wire, _ uint32) { _ = w.Close() }, true, 1},
		"shut down with it and closed": {
			func(w pt.Wire, s uint32) { w.Frame(pt.FrameGoAway, 0, pt.Numbers(s, pt.NoError)...); _ = w.Close() }, true, 1,
		},
		"broken off with it and closed": {
			func(w pt.Wire, s uint32) {
				w.Frame(pt.FrameGoAway, 0, pt.Numbers(s, pt.InternalError)...)
				_ = w.Close()
			}, true, 1,
		},
		"no answer": {func(pt.Wire, uint32) {}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := pt.NewHTTP2(t, c.answer)
			o := providers.Options{RootCAs: server.Roots()}
			if name == "no answer" {
				o.HeaderTimeout = 3 * time.Second // enough time for a busy machine to send it
			}
			x := exchange(t, pt.NewUpstream(t), ask)
			x.Target.BaseURL = server.URL
			e := fails(t, client(t, o), x)
			if e.Sent != c.sent || e.Charged() != c.sent || e.Kind == providers.KindUnfit {
				t.Errorf("sent %t, charged %t: %v", e.Sent, e.Charged(), e)
			}
			if n := server.Asked.Load(); n == 0 || n > c.asked {
				t.Errorf("it was asked %d times", n)
			}
		})
	}
}

const mostAsked = 4

// A request that was first refused and then processed is charged by its final outcome.
func TestHTTP2RequestThatIsTakenUpAtLastMayBeBilled(t *testing.T) {
	var times atomic.Int64
	server := pt.NewHTTP2(t, func(w pt.Wire, s uint32) {
		if times.Add(1) == 1 {
			w.Frame(pt.FrameReset, s, pt.Numbers(pt.RefusedStream)...)
		} else {
			w.Frame(pt.FrameReset, s, pt.Numbers(pt.InternalError)...)
		}
	})
	x := exchange(t, pt.NewUpstream(t), ask)
	x.Target.BaseURL = server.URL
	e := fails(t, client(t, providers.Options{RootCAs: server.Roots()}), x)
	if !e.Charged() || server.Asked.Load() != 2 || errors.Is(e, io.EOF) {
		t.Errorf("charged %t after %d requests: %v", e.Charged(), server.Asked.Load(), e)
	}
}

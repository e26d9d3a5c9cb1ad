package providers_test

import (
	"errors"
	"io"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	pt "tallyroute/providers/providertest"
)

// Chunks that arrived together are returned without a wait in between, and the caller is
// notified before each wait.
func TestOnWait(t *testing.T) {
	list := words()
	gate := make(chan struct{})
	together := ""
	for _, data := range list[2:] {
		together += "data: " + data + "\n\n"
	}
	u := pt.NewUpstream(t, pt.Script(pt.Event(list[0]), pt.Event(list[1]), pt.Until(gate), pt.Write(together), pt.Hang()))
	a := succeeds(t, client(t, providers.Options{}), exchange(t, u, askStream))
	passed, waits := 0, []int{}
	opened := false
	if !a.OnWait(func() {
		waits = append(waits, passed)
		if passed == 2 && !opened {
			opened = true
			close(gate)
		}
	}) {
		t.Fatal("waits cannot be told")
	}
	for range list {
		if _, err := a.Stream.Next(); err != nil {
			t.Fatal(err)
		}
		passed++
	}
	if !opened {
		t.Fatal("no wait before the third chunk")
	}
	for _, n := range waits {
		if n > 2 {
			t.Errorf("a wait after %d chunks, although the rest had come: %v", n, waits)
		}
	}
}

type otherStream struct{}

func (otherStream) Next() (chat.Chunk, error) { return chat.Chunk{}, io.EOF }
func (otherStream) Close() error              { return nil }
func (otherStream) Told() (t chat.Told)       { return t }

func TestOnWaitOfAnotherStream(t *testing.T) {
	for _, a := range []*providers.Answer{{Stream: otherStream{}}, {Response: &chat.Response{}}} {
		if a.OnWait(func() { t.Error(errors.New("called")) }) {
			t.Error("promises what it cannot see")
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

package sse_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers/sse"
)

// FuzzReader checks that the same bytes give the same events however they are split, and that
// what the writer makes of the events reads back the same.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"data: a\n\n", "\xef\xbb\xbfdata: a\r\n\r\nevent: x\rid: 1\rdata: b\r\r", ": c\ndata\ndata: b", "data: [DONE]\n\n",
		"retry: 1\n\n\n",
	} {
		f.Add([]byte(seed), []byte{1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		whole, err := read(bytes.NewReader(stream))
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		parts, err := read(&cutter{stream: stream, cuts: cuts})
		if !errors.Is(err, io.EOF) || !slices.Equal(whole, parts) {
			t.Fatalf("whole %q, in parts %q, %v", whole, parts, err)
		}
		var out bytes.Buffer
		w := sse.NewWriter(&out)
		for _, e := range whole {
			if err := w.Event(sse.Event{Name: []byte(e.name), Data: []byte(e.data), ID: []byte(e.id)}); err != nil {
				t.Fatal(err)
			}
		}
		again, err := read(&out)
		if !errors.Is(err, io.EOF) || !slices.Equal(whole, again) {
			t.Fatalf("read %q, wrote and read %q, %v", whole, again, err)
		}
	})
}

// cutter returns pieces of the given lengths, over and over.
type cutter struct {
	stream, cuts []byte
	reads        int
}

func (c *cutter) Read(p []byte) (int, error) {
	if len(c.stream) == 0 {
		return 0, io.EOF
	}
	n := 1
	if len(c.cuts) > 0 {
		n = max(1, int(c.cuts[c.reads%len(c.cuts)]))
	}
	c.reads++
	n = copy(p[:min(len(p), n)], c.stream)
	c.stream = c.stream[n:]
	return n, nil
}

// FuzzWriter checks that any text reads back unchanged, except for its line endings.
func FuzzWriter(f *testing.F) {
	f.Add("a\nb\r\nc\rd")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		if err := sse.NewWriter(&out).Data([]byte(text)); err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
		if got, err := read(&out); !errors.Is(err, io.EOF) || len(got) != 1 || got[0].data != want {
			t.Fatalf("%q became %q, %v", text, got, err)
		}
	})
}

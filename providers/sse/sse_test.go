package sse_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"tallyroute/providers/sse"
)

// event is an Event that stays valid after the next one.
type event struct{ name, data, id string }

// read returns all events of r, and the error that ended them.
func read(r io.Reader) ([]event, error) {
	var list []event
	reader := sse.NewReader(r)
	for {
		e, err := reader.Next()
		if err != nil {
			return list, err
		}
		list = append(list, event{string(e.Name), string(e.Data), string(e.ID)})
	}
}

func data(list ...string) []event {
	var events []event
	for _, d := range list {
		events = append(events, event{data: d})
	}
	return events
}

func TestReader(t *testing.T) {
	tests := []struct {
		name, in string
		want     []event
	}{
		{"nothing", "", nil},
		{"blank lines only", "\n\n\r\n\r\r", nil},
		{"one", "data: a\n\n", data("a")},
		{"no space", "data:a\n\n", data("a")},
		{"one space is cut", "data:  a \n\n", data(" a ")},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", data("a", "b")},
		{"CRLF joins", "data: a\r\ndata: b\r\n\r\n", data("a\nb")},
		{"CR", "data: a\r\rdata: b\r\r", data("a", "b")},
		{"mixed", "data: a\r\n\ndata: b\n\rdata: c\r\r\n", data("a", "b", "c")},
		{"lines are joined", "data: a\ndata\ndata:\ndata: b\n\n", data("a\n\n\nb")},
		{"empty data is data", "data\n\ndata:\n\n", data("", "")},
		{"comments", ": hello\n\n:\ndata: a\n: in between\ndata: b\n\n", data("a\nb")},
		{"name and id", "event: delta\nid: 7\ndata: a\n\ndata: b\n\n", []event{{"delta", "a", "7"}, {"", "b", ""}}},
		{"the last name counts", "event: a\nevent: b\ndata: x\n\n", []event{{"b", "x", ""}}},
		{"an id with NUL is none", "id: a\x00\ndata: x\n\n", data("x")},
		{"no data, no event", "event: ping\nid: 1\n\ndata: a\n\n", data("a")},
		{"what is unknown", "retry: 5\nfoo: bar\nDATA: no\n data: no\ndatax: no\ndata: a\n\n", data("a")},
		{"byte order mark", "\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", data("a")},
		{"colons in data", "data: a: b:c\n\n", data("a: b:c")},
		{"no blank line at the end", "data: a\n\ndata: b\n", data("a", "b")},
		{"no line end at the end", "data: a\n\ndata: [DONE]", data("a", "[DONE]")},
		{"HTML", "<html>\n<body>\n\n</html>", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"whole": strings.NewReader(tt.in),
				"bytes": iotest.OneByteReader(strings.NewReader(tt.in)),
				"early": iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				got, err := read(r)
				if !errors.Is(err, io.EOF) || !slices.Equal(got, tt.want) {
					t.Errorf("%s: %q, %v; want %q", how, got, err, tt.want)
				}
			}
		})
	}
}

func TestCRIsNotHeldBack(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	go func() { _, _ = w.Write([]byte("data: a\r\r")) }() // and then nothing more
	if e, err := sse.NewReader(r).Next(); err != nil || string(e.Data) != "a" {
		t.Errorf("%q, %v", e.Data, err)
	}
}

func TestErrors(t *testing.T) {
	reset := errors.New("connection reset")
	cut := func(err error, text string) io.Reader {
		return io.MultiReader(strings.NewReader(text), iotest.ErrReader(err))
	}
	tests := []struct {
		name string
		in   io.Reader
		want []event
		err  error
	}{
		{"cut inside an event", cut(io.ErrUnexpectedEOF, "data: a\n\ndata: b\n"), data("a"), io.ErrUnexpectedEOF},
		{"cut inside a line", cut(io.ErrUnexpectedEOF, "data: a\n\ndata: b"), data("a"), io.ErrUnexpectedEOF},
		{"reset between events", cut(reset, "data: a\n\n"), data("a"), reset},
		{"a reader that stands still", still{}, nil, io.ErrNoProgress},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := read(tt.in); !errors.Is(err, tt.err) || !slices.Equal(got, tt.want) {
				t.Errorf("%q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

type still struct{}

func (still) Read([]byte) (int, error) { return 0, nil }

func TestErrorsStay(t *testing.T) {
	r := sse.NewReader(strings.NewReader("data: " + strings.Repeat("x", sse.MaxLine) + "\n\ndata: a\n\n"))
	for range 3 {
		var large *sse.TooLargeError
		if _, err := r.Next(); !errors.As(err, &large) {
			t.Fatal(err)
		}
	}
}

func TestMalformedStreamIsAnError(t *testing.T) {
	line := strings.Repeat("x", sse.MaxLine-len("data:"))
	tests := []struct {
		name  string
		in    io.Reader
		want  int // number of events before the error
		limit string
	}{
		{"the longest line", strings.NewReader("data:" + line + "\n\n"), 1, ""},
		{"a line too long", strings.NewReader("data:" + line + "x\n\n"), 0, "line"},
		{"a line too long, at the end", strings.NewReader("data:" + line + "x"), 0, "line"},
		{"an endless line", endless("x"), 0, "line"},
		{"an endless line of data", io.MultiReader(strings.NewReader("data: a\n\ndata: "), endless("x")), 1, "line"},
		{"an endless comment", io.MultiReader(strings.NewReader(": "), endless("x")), 0, "line"},
		{"an endless event", endless("data: " + strings.Repeat("x", 1000) + "\n"), 0, "event"},
		{"an event of empty lines", endless("data\n"), 0, "event"},
		{"an event of 40 MB", strings.NewReader(strings.Repeat("data: "+strings.Repeat("x", 1<<19)+"\n", 80) + "\n"), 0, "event"},
		{"the largest event", strings.NewReader(strings.Repeat("data:"+line[:1<<19-1]+"\n", 64) + "\n"), 1, ""},
		{"noise", strings.NewReader("\x00\xff\xfe{}\n\r\r\n:\x80\ndata\xff: a\n"), 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(tt.in)
			if len(got) != tt.want {
				t.Errorf("%d events, want %d", len(got), tt.want)
			}
			var large *sse.TooLargeError
			if errors.As(err, &large); tt.limit == "" && !errors.Is(err, io.EOF) ||
				tt.limit != "" && (large == nil || large.What != tt.limit) {
				t.Errorf("error %v, want limit %q", err, tt.limit)
			}
		})
	}
}

func TestEndlessCommentsHoldNoMemory(t *testing.T) {
	comments := io.LimitReader(endless(": still working on it\n\n"), 64<<20)
	r := sse.NewReader(io.MultiReader(comments, strings.NewReader("\n\ndata: a\n\n")))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e, err := r.Next()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; err != nil || string(e.Data) != "a" || took > 64<<10 {
		t.Errorf("%q, %v, %d bytes taken", e.Data, err, took)
	}
}

// repeat repeats a text indefinitely.
type repeat struct {
	text string
	at   int
}

func endless(text string) io.Reader { return &repeat{text: text} }

func (r *repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[r.at]
		r.at = (r.at + 1) % len(r.text)
	}
	return len(p), nil
}

func TestWriter(t *testing.T) {
	tests := []struct {
		name  string
		write func(w *sse.Writer) error
		want  string
	}{
		{"data", func(w *sse.Writer) error { return w.Data([]byte(`{"a":1}`)) }, "data: {\"a\":1}\n\n"},
		{"empty", func(w *sse.Writer) error { return w.Data(nil) }, "data: \n\n"},
		{"lines", func(w *sse.Writer) error { return w.Data([]byte("a\nb\r\nc\rd\n")) }, "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"},
		{"event", func(w *sse.Writer) error {
			return w.Event(sse.Event{Name: []byte("error"), ID: []byte("1"), Data: []byte("x")})
		}, "event: error\nid: 1\ndata: x\n\n"},
		{"names hold no line end", func(w *sse.Writer) error {
			return w.Event(sse.Event{Name: []byte("a\ndata: b"), Data: []byte("x")})
		}, "event: a\ndata: x\n\n"},
		{"comment", func(w *sse.Writer) error { return w.Comment("wait\ndata: x") }, ": wait\n: data: x\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out writes
			if err := tt.write(sse.NewWriter(&out)); err != nil || len(out) != 1 || string(out[0]) != tt.want {
				t.Errorf("%q, %v; want one write of %q", out, err, tt.want)
			}
		})
	}
}

// writes records each Write.
type writes [][]byte

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, bytes.Clone(p))
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	r, w := io.Pipe()
	_ = r.Close()
	if err := sse.NewWriter(w).Data([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func TestAllocations(t *testing.T) {
	stream := events(1000)
	n := testing.AllocsPerRun(10, func() {
		r := sse.NewReader(bytes.NewReader(stream))
		for {
			if _, err := r.Next(); err != nil {
				return
			}
		}
	})
	if n > 12 {
		t.Errorf("reading 1000 events: %v allocations", n)
	}
	w := sse.NewWriter(io.Discard)
	e := []byte(strings.Repeat("x", 300))
	_ = w.Data(e)
	if n := testing.AllocsPerRun(100, func() { _ = w.Data(e) }); n > 0 {
		t.Errorf("writing an event: %v allocations", n)
	}
}

func events(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1766265207,"+
			"\"model\":\"gpt-4o-mini\","+
			"\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word %d\"},\"finish_reason\":null}],\"usage\":null}\n\n", i)
	}
	return b.Bytes()
}

func BenchmarkReader1000Events(b *testing.B) {
	stream := events(1000)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		r := sse.NewReader(bytes.NewReader(stream))
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
	}
}

func BenchmarkWriter1000Events(b *testing.B) {
	e := events(1)
	b.ReportAllocs()
	for b.Loop() {
		w := sse.NewWriter(io.Discard)
		for range 1000 {
			_ = w.Data(e[6 : len(e)-2])
		}
	}
}

package translate_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/translate"
)

// script is a source that runs one function per step.
type script []func(e *translate.Emitter)

func (s *script) Step(e *translate.Emitter) error {
	if len(*s) == 0 {
		return io.EOF
	}
	(*s)[0](e)
	*s = (*s)[1:]
	return nil
}

func words(text string) translate.Words {
	var w translate.Words
	w.AddText(text)
	return w
}

// messages returns one message of every kind.
func messages() []translate.Message {
	detail := [][]byte{[]byte("{\"type\":\"reasoning.text\",\n\"text\":\"think\"}")}
	return []translate.Message{
		{Text: words("Hello <b>\"\u2028é😀")},
		{Text: translate.WordsOf([]byte(`"a\u00e9\ud83d\ude00\ud83d"`))},
		{Refusal: words("No.")},
		{Reasoning: words("think"), Details: detail},
		{Details: [][]byte{[]byte(`{"type":"reasoning.encrypted","data":"x"}`)}},
		{Calls: []translate.ToolCall{{ID: "call_1", Name: words("f"), Arguments: words("")}}},
		{Calls: []translate.ToolCall{{Index: 1, Arguments: words(`{"x":"\n"}`)}}},
		{Calls: []translate.ToolCall{{
			Index: 2, ID: "c", Name: words("free"), Arguments: words("text"), Custom: true,
			Extra: []byte(`{"google":{}}`),
		}}},
		{
			Text: words("a"), Refusal: words("b"), Reasoning: words("c"),
			Calls: []translate.ToolCall{{ID: "d", Name: words("e"), Arguments: words("{}")}},
		},
		{Annotations: [][]byte{[]byte(`{"type":"url_citation"}`)}},
		{Images: [][]byte{[]byte(`{"type":"image_url","image_url":{"url":"data:,"}}`)}},
		{Audio: []byte(`{"id":"a","data":"AA==","expires_at":0,"transcript":""}`)},
		{Text: words("x"), Logprobs: []byte(`{"content":[],"refusal":null}`)},
	}
}

// What the emitter says about a chunk is what parsing the chunk would find.
func TestEmittedChunksReadAsTheyAreHandedOver(t *testing.T) {
	usage := &translate.Usage{
		Prompt: 100, CacheRead: 30, CacheWrite: 20, CacheWrite5m: 5, CacheWrite1h: 15, AudioInput: 7, Completion: 40,
		Reasoning: 10, AudioOutput: 3,
	}
	s := script{func(e *translate.Emitter) {
		e.Head = translate.Head{ID: "id\"1", Model: "m", Created: 7, Tier: "flex"}
		e.Begin(0)
	}}
	for _, m := range messages() {
		s = append(s, func(e *translate.Emitter) { e.Say(0, &m); e.Say(1, &m) })
	}
	s = append(s, func(e *translate.Emitter) {
		e.Say(0, &translate.Message{})
		e.Finish(2, "stop", "end_turn")
		e.Finish(0, "length", "")
		e.Usage(usage)
		e.Usage(nil)
	})
	stream := translate.NewStream(&s, io.NopCloser(nil))
	n := 0
	for {
		got, err := stream.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		want, err := chat.ParseChunk(got.Data)
		if err != nil {
			t.Fatalf("%v: %s", err, got.Data)
		}
		if want.Odd = false; !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nis handed over as %+v\nand reads as    %+v", got.Data, got, want)
		}
		if bytes.ContainsAny(got.Data, "\r\n") {
			t.Errorf("a chunk of several lines: %q", got.Data)
		}
	}
	if n != 1+2*len(messages())+3 {
		t.Errorf("%d chunks", n)
	}
}

// What is said about a complete response is what parsing it would find.
func TestResponsesReadAsTheyAreHandedOver(t *testing.T) {
	for _, m := range messages() {
		choices := []translate.Choice{{Message: m, Finish: "stop", Native: "STOP"}, {Message: m, Index: 1, Finish: "length"}}
		got := translate.Response(translate.Head{ID: "i", Model: "m", Created: 1}, choices, &translate.Usage{Prompt: 3, Completion: 4})
		want, err := chat.ParseResponse(got.Body)
		if err != nil {
			t.Fatalf("%v: %s", err, got.Body)
		}
		want.Odd = false
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nis handed over as %+v\nand reads as    %+v", got.Body, got, want)
		}
	}
}

// An impossible count marks the usage in every format, and is written within limits.
func TestUsageThatLiesIsMarked(t *testing.T) {
	for _, raw := range []string{"-1", "1.5", "1e30", `"7"`, "true"} {
		u := &translate.Usage{}
		u.Read([]byte(raw), &u.Prompt)
		r := translate.Response(translate.Head{}, nil, u)
		if !r.Usage.Invalid || r.Usage.Input < 0 || strings.Contains(string(r.Body), "-") {
			t.Errorf("%s: %+v in %s", raw, r.Usage, r.Body)
		}
	}
}

// A stream that ends before a choice is finished was cut short.
func TestStreamWithoutAFinishIsCut(t *testing.T) {
	s := script{func(e *translate.Emitter) { e.Begin(0) }}
	stream := translate.NewStream(&s, io.NopCloser(nil))
	_, _ = stream.Next()
	if _, err := stream.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}

// The next piece of a text takes one allocation, for the text: its JSON is written into a
// buffer that is reused.
func TestEmitterAllocations(t *testing.T) {
	m := translate.Message{Text: words("Hello, world")}
	s := repeated{m: &m}
	stream := translate.NewStream(&s, io.NopCloser(nil))
	_, _ = stream.Next()
	if n := testing.AllocsPerRun(100, func() { _, _ = stream.Next() }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

type repeated struct{ m *translate.Message }

func (s *repeated) Step(e *translate.Emitter) error {
	e.Say(0, s.m)
	return nil
}

package providertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers"
)

// meaning is what a response says, whether complete or streamed: for each choice, its texts,
// its calls, its other contents and why it ended; and the usage.
type meaning struct {
	choices map[int]*spoken
	usage   string
}

// spoken is what one choice says.
type spoken struct {
	texts map[string]string // by member name
	calls map[int]*said
	lists map[string][]string // elements as JSON, by member name
	end   string
}

// meaningOf reads an outcome with encoding/json, so as not to rely on the code under test.
func meaningOf(o outcome) (meaning, error) {
	m := meaning{choices: make(map[int]*spoken)}
	bodies := make([][]byte, 0, len(o.chunks)+1)
	if o.response != nil {
		bodies = append(bodies, o.response.Body)
	}
	for _, c := range o.chunks {
		bodies = append(bodies, c.Data)
	}
	for _, body := range bodies {
		if err := m.read(body); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (m *meaning) read(body []byte) error {
	var answer struct {
		Choices []struct {
			Index          int
			Delta, Message map[string]json.RawMessage
			FinishReason   string `json:"finish_reason"`
			Logprobs       json.RawMessage
		}
		Usage map[string]any
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	if answer.Usage != nil {
		m.usage = canonical(known(answer.Usage))
	}
	for _, c := range answer.Choices {
		s := m.choices[c.Index]
		if s == nil {
			s = &spoken{texts: make(map[string]string), calls: make(map[int]*said), lists: make(map[string][]string)}
			m.choices[c.Index] = s
		}
		if c.FinishReason != "" {
			s.end = c.FinishReason
		}
		for _, members := range []map[string]json.RawMessage{c.Delta, c.Message} {
			for name, raw := range members {
				if err := s.take(name, raw); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return nil
}

// take adds one member of a message. Anything derived from the bytes of the response, such as
// an id that the provider did not give, is not part of the meaning.
func (s *spoken) take(name string, raw json.RawMessage) error {
	if strings.HasPrefix(name, "x_") {
		return nil // passed on unchanged
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	switch v := known(v).(type) {
	case string:
		if name != "role" {
			s.texts[name] += v
		}
	case []any:
		for i, e := range v {
			if name == "tool_calls" {
				s.call(i, e.(map[string]any))
				continue
			}
			if o, ok := e.(map[string]any); ok {
				delete(o, "id")
			}
			s.lists[name] = append(s.lists[name], canonical(e))
		}
	case map[string]any:
		delete(v, "id")
		s.lists[name] = append(s.lists[name], canonical(v))
	}
	return nil
}

// known returns v without what a mutation has added.
func known(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			if v[name] = known(v[name]); strings.HasPrefix(name, "x_") {
				delete(v, name)
			}
		}
	case []any:
		for i, e := range v {
			v[i] = known(e)
		}
	}
	return v
}

func (s *spoken) call(i int, v map[string]any) {
	if index, ok := v["index"].(float64); ok {
		i = int(index)
	}
	c := s.calls[i]
	if c == nil {
		c = &said{}
		s.calls[i] = c
	}
	for _, kind := range []string{"function", "custom"} {
		body, _ := v[kind].(map[string]any)
		for _, member := range []struct {
			name string
			to   *string
		}{{"name", &c.name}, {"arguments", &c.arguments}, {"input", &c.arguments}} {
			text, _ := body[member.name].(string)
			*member.to += text
		}
	}
}

func canonical(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a value that was read can be written
	}
	return string(text)
}

// but returns the meaning in words, apart from what a mutation is allowed to change.
func (m meaning) but(loses string) string {
	var b strings.Builder
	for _, i := range slices.Sorted(maps.Keys(m.choices)) {
		s := m.choices[i]
		fmt.Fprintf(&b, "choice %d", i)
		if loses != "finish" {
			fmt.Fprintf(&b, " ends with %q", s.end)
		}
		for _, name := range slices.Sorted(maps.Keys(s.texts)) {
			if s.texts[name] != "" && (loses != "finish" || name != "refusal") { // a refusal that only the finish reason reports
				fmt.Fprintf(&b, "\n\t%s %q", name, s.texts[name])
			}
		}
		for _, at := range slices.Sorted(maps.Keys(s.calls)) {
			fmt.Fprintf(&b, "\n\tcall %d %s %s", at, s.calls[at].name, compacted(s.calls[at].arguments))
		}
		for _, name := range slices.Sorted(maps.Keys(s.lists)) {
			fmt.Fprintf(&b, "\n\t%s %s", name, s.lists[name])
		}
		b.WriteByte('\n')
	}
	if loses != "usage" {
		b.WriteString("usage " + m.usage)
	}
	return b.String()
}

// compacted returns JSON without white space and with letters unescaped.
func compacted(arguments string) string {
	var v any
	d := json.NewDecoder(bytes.NewReader([]byte(arguments)))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return arguments
	}
	return canonical(v)
}

// ends lists the finish reasons of the OpenAI format.
var ends = []string{"stop", "length", "tool_calls", "content_filter", "function_call"}

// mutated checks that a change that leaves a provider's meaning alone does not change what
// the client gets either. name is the prefix of failure messages.
func mutated(t *testing.T, name string, body []byte, answer func(body []byte) outcome) {
	t.Helper()
	plain := answer(body)
	if plain.err != nil {
		return
	}
	want, err := meaningOf(plain)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range mutations {
		changed := []byte(change.body(string(body)))
		if bytes.Equal(changed, body) {
			continue
		}
		o := answer(changed)
		got, err := meaningOf(o)
		switch {
		case o.err != nil || err != nil:
			t.Errorf("%s%s: %v, %v", name, change.name, o.err, err)
		case got.but(change.loses) != want.but(change.loses):
			t.Errorf("%s%s: it says\n%s\nand not\n%s", name, change.name, got.but(change.loses), want.but(change.loses))
		}
		for _, c := range got.choices {
			if !slices.Contains(ends, c.end) {
				t.Errorf("%s%s: it ends with %q", name, change.name, c.end)
			}
		}
	}
}

// mutated applies the function mutated to one exchange.
func (s Subject) mutated(t *testing.T, x providers.Exchange, g *golden, text []byte) {
	t.Helper()
	mutated(t, "", text, func(body []byte) outcome {
		if s.Wire != nil {
			body = s.Wire(g.header, body)
		}
		return s.answer(x, g, bytes.NewReader(body))
	})
}

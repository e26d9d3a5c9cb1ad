package translate_test

import (
	"errors"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/translate"
)

// The name of what was called is found again from the history, also where an
// identifier was used twice.
func TestRead_ResultsFindTheirCalls(t *testing.T) {
	c, err := conversation(t, `[
		{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"first","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"a","content":"1"},
		{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"second","arguments":{"x":1.0}}}]},
		{"role":"tool","tool_call_id":"a","content":"2"},
		{"role":"tool","tool_call_id":"b","name":"named","content":"3"},
		{"role":"tool","tool_call_id":"c","content":"4"},
		{"role":"assistant","function_call":{"name":"old","arguments":"{}"}},
		{"role":"function","name":"old","content":"5"}]`)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{1: "first", 3: "second", 4: "named", 5: "", 7: "old"} {
		if got := c.Turns[i]; got.Called != want || got.Role != "tool" {
			t.Errorf("turn %d: %q of %q, want %q", i, got.Called, got.Role, want)
		}
	}
	if got := c.Turns[2].Calls[0].Arguments; got != `{"x":1.0}` {
		t.Errorf("arguments %q", got)
	}
	e := (*chat.FieldError)(nil)
	if err := c.Turns[5].Unanswerable(); !errors.As(err, &e) || e.Param != "messages[5].tool_call_id" {
		t.Errorf("%v", err)
	}
}

func TestRead_Refused(t *testing.T) {
	for messages, param := range map[string]string{
		`[{"role":"user","content":"hi"},{"role":"wizard","content":"hi"}]`:                  "messages[1].role",
		`[{"role":"user","content":[{"type":"text","text":"a"},{"type":"dance","step":1}]}]`: "messages[0].content[1]",
		`[{"role":"user","content":[{"type":"text"}]}]`:                                      "messages[0].content[0]",
	} {
		_, err := conversation(t, messages)
		if e := (*chat.FieldError)(nil); !errors.As(err, &e) || e.Param != param || e.Code != "unsupported_content" {
			t.Errorf("%s: %v", messages, err)
		}
	}
}

func TestRead_TellsWhatIsLost(t *testing.T) {
	c, err := conversation(t, `[{"role":"user","name":"ann","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}],"mood\r\nX: ":"good"},
		{"role":"assistant","content":"b","refusal":null,"annotations":[],"audio":{"id":"x"}}]`)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Lost, " "); got != "messages.cache_control messages.mood??X:? messages.name messages.audio" {
		t.Errorf("%q", got)
	}
}

// A name that a client made up cannot break a header.
func TestOptions(t *testing.T) {
	r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":1.50,"n":1,"seed":null,"stop":[],
		"user":"u","logprobs":false,"a\r\nb,c":1,"top_p":2,"parallel_tool_calls":true,"service_tier":"auto","max_tokens":3}`))
	if err != nil {
		t.Fatal(err)
	}
	x, dropped := translate.Declared(providers.Exchange{Request: r, Target: providers.Target{Quirks: providers.Quirks{Drop: []string{"top_p", "seed", "absent"}}}})
	var took []string
	take := func(value []byte) error { took = append(took, string(value)); return nil }
	lost, err := translate.Options(x, map[string]translate.Option{"temperature": take, "top_p": take, "n": take, "seed": take, "user": func([]byte) error { return translate.ErrLost }})
	if got := strings.Join(append(dropped, lost...), " "); err != nil || got != "top_p user a??b?c" || strings.Join(took, " ") != "1.50" {
		t.Errorf("lost %q, took %q, %v", got, took, err)
	}
	_, err = translate.Options(x, map[string]translate.Option{"temperature": func([]byte) error { return translate.Unsupported("is too warm") }})
	if e := (*chat.FieldError)(nil); !errors.As(err, &e) || e.Param != "temperature" {
		t.Errorf("%v", err)
	}
}

func TestReadEffort(t *testing.T) {
	for members, want := range map[string]translate.Effort{
		`"seed":1`:                                        {Budget: -1},
		`"reasoning_effort":"low"`:                        {Level: "low", Budget: -1, Asked: true},
		`"reasoning":{"max_tokens":5}`:                    {Budget: 5, Asked: true},
		`"reasoning":{"enabled":false}`:                   {Level: "none", Budget: -1, Asked: true},
		`"reasoning":{"effort":"high","exclude":true}`:    {Level: "high", Budget: -1, Hidden: true, Asked: true},
		`"thinking":{"type":"enabled","budget_tokens":7}`: {Budget: 7, Asked: true},
		`"thinking":{"type":"disabled"}`:                  {Level: "none", Budget: -1, Asked: true},
		`"thinking":null,"reasoning":null`:                {Budget: -1},
	} {
		r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],` + members + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := translate.ReadEffort(r); got != want {
			t.Errorf("%s: %+v, want %+v", members, got, want)
		}
	}
}

func TestReadToolChoice(t *testing.T) {
	for value, want := range map[string]string{
		`"auto"`: "auto", `"none"`: "none", `"required"`: "required", `"any"`: "required",
		`{"type":"function","function":{"name":"f"}}`: "required f",
		`{"type":"custom","custom":{"name":"f"}}`:     "required f",
		`{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]}}`: "auto f g",
		`"perhaps"`: "refused", `{}`: "refused", `{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}`: "refused",
	} {
		c, err := translate.ReadToolChoice([]byte(value))
		got := strings.Join(append([]string{c.Mode}, c.Names...), " ")
		if err != nil {
			got = "refused"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

func TestCounter(t *testing.T) {
	for raw, want := range map[string]struct {
		n              int64
		found, invalid bool
	}{
		"": {}, "null": {}, "7": {7, true, false}, "7.0": {7, true, false}, "7.5": {8, true, true}, "-1": {0, true, true},
		"1e30": {1_000_000_000_000, true, true}, `"7"`: {0, true, true},
	} {
		var c translate.Counter
		if n := c.Take([]byte(raw)); n != want.n || c.Found != want.found || c.Invalid != want.invalid {
			t.Errorf("%q: %d, %+v", raw, n, c)
		}
	}
}

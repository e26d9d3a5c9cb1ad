package translate_test

import (
	"errors"
	"strings"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/translate"
)

// The name of a called function is found in the history, even if an id was used twice.
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
	if id := c.Turns[6].Calls[0].ID; id == "" || c.Turns[7].CallID != id {
		t.Errorf("the result of a call in the old form is of %q, not %q", c.Turns[7].CallID, id)
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
	c, err := conversation(t, `[{"role":"user","name":"ann","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}],"mood":"good"},
		{"role":"assistant","content":"b","refusal":null,"annotations":[],"audio":{"id":"x"}}]`)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Lost, " "); got != "messages.cache_control messages.mood messages.name messages.audio" {
		t.Errorf("%q", got)
	}
}

// A format does not get what it does not declare to support, and the client is informed.
func TestRead_TellsWhatTheFormatDoesNotDeclare(t *testing.T) {
	const history = `"messages":[{"role":"assistant","reasoning_content":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"}],"extra_content":{"a":1},
		"tool_calls":[{"id":"c","type":"function","function":{"name":"f"},"extra_content":{"a":1},"cache_control":{"type":"ephemeral"}}]},
		{"role":"tool","tool_call_id":"c","content":"no","is_error":true}],"tools":[{"type":"function","function":{"name":"f"},"cache_control":{"type":"ephemeral"}}]`
	r, err := request(t, translate.Format{Tools: true}, history)
	if err != nil {
		t.Fatal(err)
	}
	said, result := r.Turns[0], r.Turns[1]
	if said.Reasoning != "" || said.Details != nil || said.Extra != nil || said.Calls[0].Extra != nil || result.Failed {
		t.Errorf("it is shown %+v, %+v", said, result)
	}
	want := "messages.extra_content messages.tool_calls.extra_content messages.cache_control messages.reasoning messages.is_error"
	if got := strings.Join(r.Lost, " "); got != want {
		t.Errorf("lost %s, want %s", got, want)
	}
	r, err = request(t, translate.Format{Tools: true, Cache: true, Reasoning: true, Failures: true, Extra: true}, history)
	if err != nil || len(r.Lost) > 0 {
		t.Fatalf("lost %s, %v", r.Lost, err)
	}
	if said, result = r.Turns[0], r.Turns[1]; said.Reasoning != "hm" || len(said.Details) != 1 || said.Extra == nil ||
		said.Calls[0].Extra == nil || !result.Failed {
		t.Errorf("it is shown %+v, %+v", said, result)
	}
}

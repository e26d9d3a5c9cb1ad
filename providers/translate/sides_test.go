package translate_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/translate"
)

func all(translate.Detail) bool { return true }

// short returns a conversation in shorthand: who says what.
func short(r *translate.Request) string {
	system, sides, err := r.Sides(all)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, p := range system {
		fmt.Fprintf(&b, "s:%s ", []byte(p.Text))
	}
	for _, s := range sides {
		b.WriteString(map[bool]string{false: "u", true: "a"}[s.Assistant])
		for _, t := range s.Turns {
			for _, d := range t.Details {
				fmt.Fprintf(&b, "[%s %s %s%s]", d.Type, d.Text, d.Signature, d.Data)
			}
			for _, p := range t.Parts {
				fmt.Fprintf(&b, "[%s]", []byte(p.Text))
			}
			for _, c := range t.Calls {
				fmt.Fprintf(&b, "[%s %s]", c.ID, c.Object())
			}
			if t.Role == "tool" {
				fmt.Fprintf(&b, "[of %s]", t.CallID)
			}
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

func TestSidesTakeTurns(t *testing.T) {
	call := func(arguments string) string {
		return `{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":` + arguments + `}}]}`
	}
	for messages, want := range map[string]string{
		`[{"role":"user","content":"a"},{"role":"user","content":"b"}]`:                                      `u["a"]["b"]`,
		`[{"role":"user","content":"a"},{"role":"system","content":"s"},{"role":"user","content":"b"}]`:      `s:"s" u["a"]["b"]`,
		`[{"role":"system","content":"one"},{"role":"developer","content":"two"}]`:                           `s:"one" u["two"]`,
		`[{"role":"user","content":"a"},{"role":"assistant","content":" \n"},{"role":"user","content":"b"}]`: `u["a"]["b"]`,
		`[{"role":"user","content":"a"},{"role":"assistant","content":"so: \n"}]`:                            `u["a"] a["so:"]`,
		`[{"role":"user","content":"a"},` + call(`"{\"x\": 1.0}"`) +
			`]`: `u["a"] a[c1 {"x": 1.0}]`,
		`[{"role":"user","content":"a"},` + call(`""`) +
			`]`: `u["a"] a[c1 {}]`,
		`[{"role":"user","content":"a"},` + call(`"{\"cut"`) +
			`]`: `u["a"] a[c1 {"arguments":"{\"cut"}]`,
		`[{"role":"user","content":"a"},` + call(`"[1]"`) +
			`]`: `u["a"] a[c1 {"arguments":"[1]"}]`,
		`[{"role":"user","content":"a"},` + call(`{"x":1}`) +
			`]`: `u["a"] a[c1 {"x":1}]`,
		`[{"role":"user","content":"a"},` + call(`"{}"`) +
			`,{"role":"tool","tool_call_id":"c1","content":""}]`: `u["a"] a[c1 {}] u[of c1]`,
		`[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"t",` +
			`"signature":"s"}]}]`: `u["a"] a[reasoning.text t s]`,
		`[{"role":"user","content":" "}]`: "chat: invalid_value: messages: must hold at least one message that says something",
	} {
		r, err := conversation(t, messages)
		if err != nil {
			t.Fatal(err)
		}
		if got := short(r); got != want {
			t.Errorf("%s\nis  %s\nnot %s", messages, got, want)
		}
	}
}

// Pieces of a stream are joined. Reasoning that cannot be verified is left out, and reported
// as lost.
func TestSidesKeepReasoningThatCanBeVerified(t *testing.T) {
	r, err := conversation(t, `[{"role":"user","content":"a"},{"role":"assistant","reasoning_details":[{"type":"reasoning.text",`+
		`"text":"a","index":0},{"type":"reasoning.text","text":"\"b","index":0},`+
		`{"type":"reasoning.text","signature":"s","index":0},{"type":"reasoning.text","text":"c","signature":"t","index":1},`+
		`{"type":"reasoning.text","text":"unsigned","index":2},{"type":"reasoning.summary","summary":"x"},{"type":"reasoning.encrypted",`+
		`"data":"d"},7]}]`)
	if err != nil {
		t.Fatal(err)
	}
	if got := short(r); got != `u["a"] a[reasoning.text a"b s][reasoning.text c t][reasoning.encrypted  d]` {
		t.Errorf("%s", got)
	}
	if got := strings.Join(r.Lost, " "); got != "messages.reasoning" {
		t.Errorf("lost %s", got)
	}
}

func TestSystemMessagesHoldTextAlone(t *testing.T) {
	r, err := conversation(t, `[{"role":"system","content":[{"type":"image_url","image_url":{"url":"https://a.example/b"}}]}]`)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = r.Sides(all)
	if e := (*chat.FieldError)(nil); !errors.As(err, &e) || e.Param != "messages[0].content[0]" {
		t.Errorf("%v", err)
	}
}

// An empty picture or file is left out and reported as lost; one without any location is
// refused.
func TestMediaWithoutBytes(t *testing.T) {
	r, err := conversation(t, `[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,"}},`+
		`{"type":"text","text":"hi"}]}]`)
	if err != nil || len(r.Turns[0].Parts) != 1 || strings.Join(r.Lost, " ") != "messages.content.image_url" {
		t.Errorf("%+v, %v", r, err)
	}
	for part, param := range map[string]string{
		`{"type":"file","file":{}}`: "messages[0].content[0]", `{"type":"image_url","image_url":{"url":""}}`: "messages[0].content[0]",
	} {
		_, err := conversation(t, `[{"role":"user","content":[`+part+`]}]`)
		if e := (*chat.FieldError)(nil); !errors.As(err, &e) || e.Param != param {
			t.Errorf("%s: %v", part, err)
		}
	}
}

// cache_control reaches the formats that have it, and is reported where it is lost.
func TestCacheControl(t *testing.T) {
	const messages = `"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b",` +
		`"cache_control":{"type":"ephemeral"}}]},` +
		`{"role":"user","content":"c","cache_control":{"type":"ephemeral","ttl":"1h"}}]`
	r, err := request(t, translate.Format{Cache: true}, messages)
	if err != nil {
		t.Fatal(err)
	}
	if a, b, c := r.Turns[0].Parts[0].Cache, r.Turns[0].Parts[1].Cache, r.Turns[1].Parts[0].Cache; a != nil || len(b) == 0 ||
		!strings.Contains(string(c), "1h") || len(r.Lost) > 0 {
		t.Errorf("%s, %s, %s, lost %v", a, b, c, r.Lost)
	}
	if r, err = request(t, translate.Format{}, messages); err != nil || strings.Join(r.Lost, " ") != "messages.cache_control" {
		t.Errorf("lost %v, %v", r.Lost, err)
	}
}

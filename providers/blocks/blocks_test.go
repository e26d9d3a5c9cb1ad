package blocks

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tallyroute/providers/chat"
)

func parse(t *testing.T, messages string) *Conversation {
	t.Helper()
	r, err := chat.ParseRequest([]byte(`{"model":"m","messages":` + messages + `}`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Read(r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// String is a conversation in short: who says what kinds of blocks.
func (c *Conversation) String() string {
	var b strings.Builder
	for _, s := range c.System {
		fmt.Fprintf(&b, "s:%s ", []byte(s.Text))
	}
	for _, t := range c.Turns {
		b.WriteByte("ua"[map[bool]int{true: 1}[t.Assistant]])
		for _, k := range t.Blocks {
			fmt.Fprintf(&b, "[%d %s%s%s]", k.Kind, k.ID, []byte(k.Text), k.Input)
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

func TestRead(t *testing.T) {
	call := func(id, arguments string) string {
		return `{"role":"assistant","tool_calls":[{"id":"` + id + `","type":"function","function":{"name":"f","arguments":` + arguments + `}}]}`
	}
	for messages, want := range map[string]string{
		`[{"role":"user","content":"a"},{"role":"user","content":"b"}]`:                                                  `u[0 "a"][0 "b"]`,
		`[{"role":"user","content":"a"},{"role":"system","content":"s"},{"role":"user","content":"b"}]`:                  `s:"s" u[0 "a"][0 "b"]`,
		`[{"role":"system","content":"one"},{"role":"developer","content":"two"}]`:                                       `s:"one" u[0 "two"]`,
		`[{"role":"user","content":"a"},{"role":"assistant","content":""},{"role":"user","content":"b"}]`:                `u[0 "a"][0 "b"]`,
		`[{"role":"user","content":"a"},{"role":"assistant","content":"so: \n"}]`:                                        `u[0 "a"] a[0 "so:"]`,
		`[{"role":"user","content":"a"},` + call("c1", `"{\"x\": 1.0}"`) + `]`:                                           `u[0 "a"] a[5 c1{"x": 1.0}]`,
		`[{"role":"user","content":"a"},` + call("c1", `""`) + `]`:                                                       `u[0 "a"] a[5 c1{}]`,
		`[{"role":"user","content":"a"},` + call("c1", `"{\"cut"`) + `]`:                                                 `u[0 "a"] a[5 c1{"arguments":"{\"cut"}]`,
		`[{"role":"user","content":"a"},` + call("c1", `"[1]"`) + `]`:                                                    `u[0 "a"] a[5 c1{"arguments":"[1]"}]`,
		`[{"role":"user","content":"a"},` + call("c1", `{"x":1}`) + `]`:                                                  `u[0 "a"] a[5 c1{"x":1}]`,
		`[{"role":"user","content":"a"},` + call("a.b", `"{}"`) + `,{"role":"tool","tool_call_id":"a.b","content":"r"}]`: `u[0 "a"] a[5 call_` + "1" + `{}] u[6 call_1]`,
	} {
		got := parse(t, messages).String()
		if id := CallID("a.b"); strings.Contains(messages, "a.b") {
			got = strings.ReplaceAll(got, id, "call_1")
		}
		if got != want {
			t.Errorf("%s\nis  %s\nnot %s", messages, got, want)
		}
	}
}

func TestCallID(t *testing.T) {
	for _, id := range []string{"call_1", "toolu_01-x", strings.Repeat("a", 64)} {
		if CallID(id) != id {
			t.Errorf("%s becomes %s", id, CallID(id))
		}
	}
	seen := make(map[string]bool)
	for _, id := range []string{"", "a.b", "a:b", strings.Repeat("a", 65), "ä"} {
		to := CallID(id)
		if CallID(to) != to || seen[to] {
			t.Errorf("%q becomes %q", id, to)
		}
		seen[to] = true
	}
}

// TestThoughts: pieces of a stream are joined, what cannot be verified is left out.
func TestThoughts(t *testing.T) {
	got := thoughts([]byte(`[{"type":"reasoning.text","text":"a","index":0},{"type":"reasoning.text","text":"\"b","index":0},` +
		`{"type":"reasoning.text","signature":"s","index":0},{"type":"reasoning.text","text":"c","signature":"t","index":1},` +
		`{"type":"reasoning.text","text":"unsigned","index":2},{"type":"reasoning.summary","summary":"x"},{"type":"reasoning.encrypted","data":"d"},7]`))
	var list []string
	for _, b := range got {
		list = append(list, fmt.Sprintf("%d %s %s", b.Kind, []byte(b.Text), []byte(b.Signature)))
	}
	if s := strings.Join(list, "; "); s != `7 "a\"b" "s"; 7 "c" "t"; 8 "d" ` {
		t.Errorf("got %s", s)
	}
}

func TestRead_Refused(t *testing.T) {
	for messages, param := range map[string]string{
		`[{"role":"system","content":[{"type":"image_url","image_url":{"url":"https://a.example/b"}}]}]`:     "messages[0].content[0]",
		`[{"role":"user","content":"a"},{"role":"assistant","function_call":{"name":"f","arguments":"{}"}}]`: "messages[1].function_call",
		`[{"role":"assistant","tool_calls":[{"id":"1","type":"custom","custom":{"name":"f","input":"x"}}]}]`: "messages[0].tool_calls[0].custom",
		`[{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"arguments":"{}"}}]}]`:   "messages[0].tool_calls[0].function.name",
		`[{"role":"user","content":[{"type":"file","file":{}}]}]`:                                            "messages[0].content[0].file",
	} {
		r, err := chat.ParseRequest([]byte(`{"model":"m","messages":` + messages + `}`))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Read(r)
		if f := (*chat.FieldError)(nil); !errors.As(err, &f) || f.Param != param {
			t.Errorf("%s: %v, want a fault of %s", messages, err, param)
		}
	}
}

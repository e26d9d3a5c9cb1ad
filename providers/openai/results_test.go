package openai

import (
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

func TestWhatAsksForNoToolsIsLeftOut(t *testing.T) {
	const hi = `{"model":"m","messages":[{"role":"user","content":"hi"}]`
	for members, want := range map[string]string{
		`"tools":[],"tool_choice":"auto","parallel_tool_calls":true`: hi + `}`,
		`"tools":null,"tool_choice":"none"`:                          hi + `}`,
		`"tool_choice":"required"`:                                   hi + `,"tool_choice":"required"}`,
	} {
		r, err := chat.ParseRequest([]byte(hi + `,` + members + `}`))
		if err != nil {
			t.Fatal(err)
		}
		c, err := New().Chat.Encode(providers.Exchange{Request: r, Target: providers.Target{Upstream: "m"}})
		if err != nil || string(c.Body) != want || len(c.Dropped) > 0 {
			t.Errorf("%s: sent %s, dropped %q, %v", members, c.Body, c.Dropped, err)
		}
	}
}

func TestPicturesInResultsOfToolsAreShownByTheUser(t *testing.T) {
	const call = `{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},` +
		`{"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}]}`
	const image = `{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}`
	r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"},` + call +
		`,{"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"one"},` + image + `]},` +
		`{"role":"tool","tool_call_id":"b","content":[` + image + `]},{"role":"user","content":"go on"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := New().Chat.Encode(providers.Exchange{Request: r, Target: providers.Target{Upstream: "m"}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"role":"user","content":"hi"},` + call +
		`,{"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"one"}]},` +
		`{"role":"tool","tool_call_id":"b","content":[{"type":"text","text":"The result is shown in the message after the results."}]},` +
		`{"role":"user","content":[{"type":"text","text":"Result of the call a:"},` + image +
		`,{"type":"text","text":"Result of the call b:"},` + image + `]},{"role":"user","content":"go on"}]`
	if got := string(jsonraw.Lookup(c.Body, "messages")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

package cohere_test

import (
	"errors"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

func TestEncode_Refused(t *testing.T) {
	for body, param := range map[string]string{
		`"messages":[{"role":"user","content":"hi"}],"functions":[{"name":"f"}]`:                        "functions",
		`"messages":[{"role":"user","content":"hi"}],"n":2`:                                             "n",
		`"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"custom","custom":{"name":"f"}}]`: "tools",
		`"messages":[{"role":"user","content":[{"type":"file",` +
			`"file":{"file_data":"data:application/pdf;base64,aGk="}}]}]`: "messages[0].content[0]",
		`"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"aGk=",` +
			`"format":"wav"}}]}]`: "messages[0].content[0]",
		`"messages":[{"role":"tool",` +
			`"content":"hi"}]`: "messages[0].tool_call_id",
	} {
		r, err := chat.ParseRequest([]byte(`{"model":"m",` + body + `}`))
		if err != nil {
			t.Fatal(err)
		}
		_, err = adapter().Chat.Encode(providers.Exchange{Request: r})
		if e := (*chat.FieldError)(nil); !errors.As(err, &e) || e.Param != param {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestPicturesInResultsOfToolsAreShownByTheUser(t *testing.T) {
	const call = `{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},` +
		`{"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}]}`
	const image = `{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}`
	const file = `{"type":"file","file":{"filename":"a.txt","file_data":"data:text/plain;base64,aGk="}}`
	r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"},` + call +
		`,{"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"one"},` + image + `,` + file + `]},` +
		`{"role":"tool","tool_call_id":"b","content":[` + image + `]},{"role":"user","content":"go on"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := adapter().Chat.Encode(providers.Exchange{Request: r, Target: providers.Target{Upstream: "m"}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"one"},` +
		`{"type":"document","document":{"data":{"title":"a.txt","text":"hi"}}}]},` +
		`{"role":"tool","tool_call_id":"b","content":"The result is shown in the message after the results."},` +
		`{"role":"user","content":[{"type":"text","text":"Result of the call a:"},` + image +
		`,{"type":"text","text":"Result of the call b:"},` + image + `]},{"role":"user","content":"go on"}]`
	if got := string(jsonraw.Lookup(c.Body, "messages")); !strings.HasSuffix(got, want) {
		t.Errorf("got  %s\nwant …%s", got, want)
	}
}

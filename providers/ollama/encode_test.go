package ollama_test

import (
	"errors"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

func TestEncode_Refused(t *testing.T) {
	for body, param := range map[string]string{
		`"messages":[{"role":"user","content":"hi"}],"functions":[{"name":"f"}]`:                        "functions",
		`"messages":[{"role":"user","content":"hi"}],"n":2`:                                             "n",
		`"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"custom","custom":{"name":"f"}}]`: "tools",
		`"messages":[{"role":"user","content":[{"type":"file",` +
			`"file":{"file_data":"data:application/pdf;base64,aGk="}}]}]`: "messages[0].content[0]",
		`"messages":[{"role":"user","content":[{"type":"image_url",` +
			`"image_url":{"url":"https://a.example/b.png"}}]}]`: "messages[0].content[0]",
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

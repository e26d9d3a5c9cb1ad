package providertest

import (
	"bytes"
	"fmt"
	"testing"

	"tallyroute/providers"
)

// history checks that whatever earlier messages contain reaches the provider, is reported as
// lost, or is refused.
func (s Subject) history(t *testing.T) {
	const called = `"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}%s}]`
	const asked, answered = `{"role":"user","content":"hi"}`, `{"role":"tool","tool_call_id":"c","content":"no"}`
	thinks := `{"role":"assistant","content":"well"%s},` + asked
	for name, c := range map[string]struct{ messages, member string }{
		"name":          {`{"role":"user","content":"so?"%s}`, `,"name":"ann"`},
		"refusal":       {thinks, `,"refusal":"no"`},
		"reasoning":     {thinks, `,"reasoning_content":"hm"`},
		"its details":   {thinks, `,"reasoning_details":[{"type":"reasoning.text","text":"hm"}]`},
		"encrypted":     {thinks, `,"reasoning_details":[{"type":"reasoning.encrypted","data":"aG0=","format":"made-up"}]`},
		"of a new type": {thinks, `,"reasoning_details":[{"type":"reasoning.made_up","text":"hm"}]`},
		"extra content": {thinks, `,"extra_content":{"google":{"thought_signature":"aG0="}}`},
		"of a call":     {`{` + called + `},` + answered, `,"extra_content":{"google":{"thought_signature":"aG0="}}`},
		"cache control": {`{` + called + `},` + answered, `,"cache_control":{"type":"ephemeral"}`},
		"a failed tool": {`{` + fmt.Sprintf(called, "") + `},{"role":"tool","tool_call_id":"c","content":"no"%s}`, `,"is_error":true`},
		"made up":       {thinks, `,"mood":"good"`},
	} {
		t.Run(name, func(t *testing.T) {
			list := func(member string) string {
				return `"messages":[` + asked + `,` + fmt.Sprintf(c.messages, member) + `]`
			}
			got, err := providers.Encode(s.asked(t, providers.Quirks{}, list(c.member)))
			if err != nil {
				return // refused
			}
			without := s.sent(t, providers.Quirks{}, list(""))
			if bytes.Equal(got.Body, without.Body) && len(got.Dropped) == len(without.Dropped) {
				t.Errorf("%s is lost without a word: %s", c.member, got.Body)
			}
		})
	}
}

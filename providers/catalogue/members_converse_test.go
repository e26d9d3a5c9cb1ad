package catalogue

import (
	"slices"
	"strings"
	"testing"
)

// converse returns the members of a Converse request, according to Amazon's model of its API
// (bedrock-runtime, as in its SDK for JavaScript 3.1164), with requests that contain them,
// both where Converse has them and in the places that a chat completion client can use.
func converse(t *testing.T) (all []member) {
	const begin = `{"model":"m","messages":[{"role":"user","content":`
	for _, path := range lines(t, "testdata/members/converse.schema") {
		for _, place := range []struct{ name, above, body string }{
			{"", "", begin + `"x"}],%}`},
			{"additionalModelRequestFields.", "", begin + `"x"}],"additionalModelRequestFields":{%}}`},
			{"part:", "messages[].content[].", begin + `[{"type":"text","text":"x"},{%}]}]}`},
			{"text:", "messages[].content[].", begin + `[{"type":"text","text":"x",%}]}]}`},
			{"system:", "system[].", `{"model":"m","messages":[{"role":"system","content":[{"type":"text","text":"x",%}]}]}`},
			{"tool:", "toolConfig.tools[].", begin + `"x"}],"tools":[{%}]}`},
		} {
			if below, ok := strings.CutPrefix(path, place.above); ok {
				all = append(all, member{place.name + below, strings.Replace(place.body, "%", placed(below), 1)})
			}
		}
	}
	return all
}

// TestMembersOfConverseAreHeldPricedRefusedOrNamed does the same for Amazon's API, which has no
// JSON schema.
func TestMembersOfConverseAreHeldPricedRefusedOrNamed(t *testing.T) {
	read := lines(t, "testdata/members/converse-free.list")
	for _, format := range []string{"bedrock", "bedrock-invoke"} {
		all := converse(t)
		found := slices.Concat(judgeAll(t, format, all), judgeAll(t, format, invented(all)))
		slices.Sort(found)
		for _, name := range slices.Compact(found) {
			if !slices.Contains(read, name) {
				t.Errorf("%s costs nothing more by its table, and nobody has read that: see testdata/members/converse-free.list", name)
			}
		}
	}
}

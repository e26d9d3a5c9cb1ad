package catalogue

import (
	"slices"
	"strings"
	"testing"
)

// converse are the members of a request of Converse, by Amazon's model of its API
// (bedrock-runtime, as its SDK for JavaScript 3.1164 has it), and the requests that have
// them: where Converse has them, and in what of it a client of chat completions can say.
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

// TestMembersOfConverseAreHeldPricedRefusedOrNamed is the same for the API of Amazon, of
// which there is no schema in JSON.
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

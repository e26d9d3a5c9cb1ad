package server

import (
	"strings"
	"testing"
)

func TestAnswersBearTheNameOfTheModelThatIsListed(t *testing.T) {
	g := newRig(t)
	if r := g.chat(hi); r.object(t)["model"] != "m" {
		t.Errorf("%s", r.body)
	}
	for _, body := range []string{hiStream, hiUsage} {
		r := g.chat(body)
		if n := strings.Count(r.body, `"model":"m"`); n == 0 || strings.Contains(r.body, "m-large") {
			t.Errorf("%s", r.body)
		}
	}
}

func TestNamingChangesNothingElse(t *testing.T) {
	n := newNaming(`a"b`)
	for in, want := range map[string]string{
		`{"id":"1","model":"x","choices":[]}`:           `{"id":"1","model":"a\"b","choices":[]}`,
		`{"model" : "x" ,"b":{"model":"y"}}`:            `{"model" : "a\"b" ,"b":{"model":"y"}}`,
		`{"choices":[{"model":"y"}],"model":"x\u0041"}`: `{"choices":[{"model":"y"}],"model":"a\"b"}`,
		`{"choices":[{"model":"y"}]}`:                   `{"choices":[{"model":"y"}]}`,
		`{"model":null}`:                                `{"model":null}`,
		`[DONE]`:                                        `[DONE]`,
		`{"model":"a\"b"}`:                              `{"model":"a\"b"}`,
	} {
		if got := string(n.of([]byte(in))); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
	data := []byte(`{"id":"1","model":"x","choices":[]}`)
	if allocs := testing.AllocsPerRun(100, func() { n.of(data) }); allocs > 1 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestMessagesNameTheMember(t *testing.T) {
	for _, c := range [][3]string{
		{"messages[0].role", "must be one of: system", "messages[0].role: must be one of: system"},
		{"model", "the model is unknown", "the model is unknown"},
		{"", "must be an object", "must be an object"},
	} {
		if got := about(c[0], c[1]); got != c[2] {
			t.Errorf("%q", got)
		}
	}
}

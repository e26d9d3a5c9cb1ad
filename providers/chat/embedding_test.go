package chat_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

func embedding(t *testing.T, body string) *chat.Request {
	t.Helper()
	r, err := chat.ParseEmbedding([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return r
}

func TestParseEmbedding_Inputs(t *testing.T) {
	for name, tt := range map[string]struct {
		input string
		each  []string
		ids   bool
	}{
		"a text":         {`"h\u0069"`, []string{`"h\u0069"`}, false},
		"texts":          {` [ "a" , "b"] `, []string{`"a"`, `"b"`}, false},
		"tokens":         {`[ 1,2, 3]`, []string{`[ 1,2, 3]`}, true},
		"lists of these": {`[ [1,2],[3]]`, []string{`[1,2]`, `[3]`}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := embedding(t, `{"model":"m","input":`+tt.input+`,"dimensions":256,"encoding_format":"base64","user":"u"}`)
			var each []string
			for input := range r.Inputs() {
				each = append(each, string(input))
			}
			if !slices.Equal(each, tt.each) || r.InputCount() != int64(len(tt.each)) || r.TokenInput() != tt.ids {
				t.Errorf("inputs %q, %d of them, tokens %t", each, r.InputCount(), r.TokenInput())
			}
			if r.Dimensions() != 256 || !r.Base64() || r.EndUser() != "u" || r.Needs() != (chat.Needs{}) {
				t.Errorf("read %d, %t, %q, %+v", r.Dimensions(), r.Base64(), r.EndUser(), r.Needs())
			}
		})
	}
}

func TestParseEmbedding_Refused(t *testing.T) {
	for body, param := range map[string]string{
		`{"model":"m"}`:                                                   "input",
		`{"input":"x"}`:                                                   "model",
		`{"model":"m","input":[]}`:                                        "input",
		`{"model":"m","input":null}`:                                      "input",
		`{"model":"m","input":["a",1]}`:                                   "input",
		`{"model":"m","input":[1,[2]]}`:                                   "input",
		`{"model":"m","input":[[]]}`:                                      "input",
		`{"model":"m","input":[["a"]]}`:                                   "input[0][0]",
		`{"model":"m","input":[{"text":"a"}]}`:                            "input[0]",
		`{"model":"m","input":"x","input":"y"}`:                           "input",
		`{"model":"m","input":"x","Input":"y"}`:                           "Input",
		`{"model":"m","input":"x","dimensions":0}`:                        "dimensions",
		`{"model":"m","input":"x","dimensions":1.5}`:                      "dimensions",
		`{"model":"m","input":"x","encoding_format":"hex"}`:               "encoding_format",
		`{"model":"m","input":"x","base_url":"http://a"}`:                 "base_url",
		`{"model":"m","input":[` + strings.Repeat(`"a",`, 2048) + `"a"]}`: "input",
	} {
		_, err := chat.ParseEmbedding([]byte(body))
		if f := (*chat.FieldError)(nil); !errors.As(err, &f) || f.Param != param {
			t.Errorf("%.80s: %v", body, err)
		}
	}
}

// TestParseEmbedding_Edit checks that an edited copy is read according to its new content.
func TestParseEmbedding_Edit(t *testing.T) {
	r := embedding(t, `{"model":"m","input":["a","b"],"encoding_format":"base64","stream":true}`)
	next, err := r.Edit([]jsonraw.Member{{Name: "input", Value: []byte(`"c"`)}}, "encoding_format")
	if err != nil || next.InputCount() != 1 || next.Base64() || next.Stream() {
		t.Errorf("%+v, %v", next, err)
	}
	if got := string(next.Body()); got != `{"model":"m","input":"c","stream":true}` {
		t.Error(got)
	}
	if _, err := r.With("input", 3); err == nil {
		t.Error("a number was taken for an input")
	}
}

const two = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-2, 1e-7]},{"object":"embedding","index":1,` +
	`"embedding":[1,2,3]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}`

func TestParseVectors_AsTheyCame(t *testing.T) {
	r, err := chat.ParseVectors([]byte(two), embedding(t, `{"model":"m","input":["a","b"]}`))
	if err != nil || string(r.Body) != two || !reflect.DeepEqual(*r.Usage, chat.Usage{Input: 3}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestParseVectors_Mended(t *testing.T) {
	for name, tt := range map[string]struct{ request, answer, want string }{
		"floats to base64": {
			`{"model":"m","input":"a","encoding_format":"base64"}`,
			`{"id":"x","object":"list","data":[{"object":"embedding","index":0,"embedding":[1, -0.5]}],"model":"m",` +
				`"usage":{"prompt_tokens":3,"total_tokens":3}}`,
			`{"id":"x","object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAAL8="}],"model":"m",` +
				`"usage":{"prompt_tokens":3,"total_tokens":3}}`,
		},
		"base64 to floats": {
			`{"model":"m","input":"a"}`,
			`{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAAL/NzMw9"}],"model":"m",` +
				`"usage":{"prompt_tokens":3,"total_tokens":3}}`,
			`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,-0.5,0.1]}],"model":"m","usage":{"prompt_tokens":3,` +
				`"total_tokens":3}}`,
		},
		"the total alone": {
			`{"model":"m","input":"a"}`,
			`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"model":"m","usage":{"total_tokens":3}}`,
			`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"model":"m","usage":{"prompt_tokens":3,` +
				`"total_tokens":3}}`,
		},
		"vectors alone": {
			`{"model":"m","input":["a","b"]}`,
			`{"data":[{"embedding":[1]},{"embedding":[2]}]}`,
			`{"data":[{"embedding":[1],"object":"embedding","index":0},{"embedding":[2],"object":"embedding","index":1}],"object":"list",` +
				`"model":"m","usage":{"prompt_tokens":0,"total_tokens":0}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := chat.ParseVectors([]byte(tt.answer), embedding(t, tt.request))
			if err != nil || string(r.Body) != tt.want {
				t.Errorf("%v\n%s\nwant\n%s", err, r.Body, tt.want)
			}
		})
	}
}

func TestParseVectors_Refused(t *testing.T) {
	request := embedding(t, `{"model":"m","input":["a","b"]}`)
	for _, answer := range []string{
		``, `<html>`, `{"data":[`, `{}`, `{"data":[]}`, `{"data":[{"embedding":[1]}]}`, `{"data":[{"embedding":[1]},{}]}`,
		`{"data":[{"embedding":[1]},{"embedding":null}]}`, `{"data":[{"embedding":[1]},{"embedding":"AACA"}]}`,
		`{"data":[{"embedding":[1]},{"embedding":"AADAfw=="}]}`,
	} {
		if _, err := chat.ParseVectors([]byte(answer), request); !errors.Is(err, chat.ErrMalformed) {
			t.Errorf("%s: %v", answer, err)
		}
	}
	var e *chat.Error
	if _, err := chat.ParseVectors([]byte(`{"error":{"message":"no"}}`), request); !errors.As(err, &e) || e.Message != "no" {
		t.Errorf("an error object: %v", err)
	}
}

package jsonraw_test

import (
	"fmt"
	"strings"
	"testing"

	"tallyroute/providers/jsonraw"
)

func TestEach(t *testing.T) {
	tests := []struct{ in, want string }{
		{` {"a":1, "b\n" : [1, {}] ,"a":"x"} `, `a=1;b` + "\n" + `=[1, {}];a="x";`},
		{`{}`, ""},
		{`[1]`, ""},
		{`"a"`, ""},
		{``, ""},
		{`{"a":1,`, "a=1;"},
		{`{"a":1,"b":`, "a=1;"},
		{`{"a" 1}`, ""},
		{`{"a":1 "b":2}`, "a=1;"},
	}
	for _, tt := range tests {
		var b strings.Builder
		for name, value := range jsonraw.Each([]byte(tt.in)) {
			fmt.Fprintf(&b, "%s=%s;", name, value)
		}
		if b.String() != tt.want {
			t.Errorf("%s: %q, want %q", tt.in, b.String(), tt.want)
		}
	}
}

func TestElements(t *testing.T) {
	for in, want := range map[string]string{
		` [1 , "a",[ ]]`: `1;"a";[ ];`, `[]`: "", `{"a":1}`: "", `[1,`: "1;", `[1 2]`: "1;",
		`[,]`: "",
	} {
		var b strings.Builder
		for value := range jsonraw.Elements([]byte(in)) {
			fmt.Fprintf(&b, "%s;", value)
		}
		if b.String() != want {
			t.Errorf("%s: %q, want %q", in, b.String(), want)
		}
	}
}

func TestLookup(t *testing.T) {
	const object = `{"a":{"b":{"c":1},"b":{"c":2}},"x":[{"c":3}]}`
	for path, want := range map[string]string{"a.b.c": "2", "a.b": `{"c":2}`, "a.c": "", "x.c": "", "z": "", "a.b.c.d": ""} {
		if got := jsonraw.Lookup([]byte(object), strings.Split(path, ".")...); string(got) != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		`"a"`: "a", ` "a\u00e9\/\b\f\n\r\t\"\\"`: "aé/\b\f\n\r\t\"\\", `"\ud83d\ude00"`: "😀", `"\ud83dx"`: "\uFFFDx",
		`"\ud83d\u0041"`: "\uFFFDA",
		`5`:              "", `null`: "", ``: "", `"a`: "", `"\x"`: "",
	} {
		if got := jsonraw.Text([]byte(in)); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

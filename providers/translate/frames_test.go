package translate_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"tallyroute/providers/chat"
	"tallyroute/providers/sse"
	"tallyroute/providers/translate"
)

func TestFrames(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		end        error
	}{
		"events":        {"event: a\ndata: {\"n\":1}\r\n\r\ndata: {\"n\":2}\n\ndata: [DONE]\n\n", `{"n":1} {"n":2}`, io.EOF},
		"comment":       {": hi\n\ndata: {}\n\n", `{}`, io.EOF},
		"array":         {" \r\n[{\"n\":1}\n,\r\n{\"n\":2}\n]\n", `{"n":1} {"n":2}`, io.EOF},
		"empty array":   {"[]", ``, io.EOF},
		"lines":         {"{\"n\":1}\n{\"n\":2}\n", `{"n":1} {"n":2}`, io.EOF},
		"one object":    {`{"n":1}`, `{"n":1}`, io.EOF},
		"nothing":       {"  \n", ``, io.EOF},
		"cut array":     {"[{\"n\":1},", `{"n":1}`, io.ErrUnexpectedEOF},
		"open array":    {"[{\"n\":1}", `{"n":1}`, io.ErrUnexpectedEOF},
		"cut line":      {"{\"n\":1}\n{\"n\"", `{"n":1}`, io.ErrUnexpectedEOF},
		"no JSON":       {"data: {\n\n", ``, chat.ErrMalformed},
		"a web page":    {"<html>\n", ``, io.EOF},
		"broken line":   {"{\"n\":1}\n}", `{"n":1}`, chat.ErrMalformed},
		"broken array":  {"[{\"n\":1};", `{"n":1}`, chat.ErrMalformed},
		"mark of order": {"\xef\xbb\xbfdata: {}\n\n", `{}`, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
				f := translate.NewFrames(r)
				var got []string
				for {
					data, err := f.Next()
					if err != nil {
						if !errors.Is(err, c.end) {
							t.Errorf("it ends with %v, want %v", err, c.end)
						}
						break
					}
					got = append(got, string(data))
				}
				if s := strings.Join(got, " "); s != c.want {
					t.Errorf("%s, want %s", s, c.want)
				}
			}
		})
	}
}

// A value that never ends is not kept in memory.
func TestFrames_Bounded(t *testing.T) {
	f := translate.NewFrames(io.MultiReader(strings.NewReader(`{"a":"`), endless{}))
	_, err := f.Next()
	if e := (*sse.TooLargeError)(nil); !errors.As(err, &e) {
		t.Errorf("%v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

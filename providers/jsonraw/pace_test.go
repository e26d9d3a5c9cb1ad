package jsonraw_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"tallyroute/providers/jsonraw"
)

func TestLongWorkRestsAfterEachPiece(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var pace jsonraw.Pace
		const stretch = 1 << 20
		took := func(bytes int) time.Duration {
			began := time.Now()
			pace.Add(bytes)
			return time.Since(began)
		}
		if d := took(stretch); d != 0 {
			t.Errorf("rested for %s after the first stretch", d)
		}
		if d := took(stretch); d != 0 {
			t.Errorf("rested for %s although the work takes no time", d)
		}
		time.Sleep(time.Millisecond) // the work
		if d := took(10); d != 0 {
			t.Errorf("rested for %s after a few bytes", d)
		}
		if d := took(stretch); d == 0 {
			t.Error("did not rest after a millisecond of work")
		}
		if d := took(stretch); d != 0 {
			t.Errorf("rested for %s right after a rest", d)
		}
	})
}

func TestStretchesAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, character := range []string{"a", "é", "€", "😀", "\x80"} {
		for shift := range 4 {
			text := []byte(strings.Repeat("x", shift) + strings.Repeat(character, 300_000))
			var all []byte
			jsonraw.Stretches(text, func(b []byte) {
				if utf8.Valid(text) && !utf8.Valid(b) {
					t.Errorf("%q, shifted by %d: a character is cut", character, shift)
				}
				all = append(all, b...)
			})
			if !bytes.Equal(all, text) || !bytes.Equal(jsonraw.Append(nil, text), text) {
				t.Errorf("%q, shifted by %d: bytes are lost", character, shift)
			}
			if jsonraw.ValidUTF8(text) != utf8.Valid(text) {
				t.Errorf("%q, shifted by %d: ValidUTF8 is wrong", character, shift)
			}
		}
	}
}

func TestLongSpaceStringsAndNumbers(t *testing.T) {
	t.Parallel()
	var root jsonraw.Field
	for _, c := range []struct {
		name, body string
		ok         bool
	}{
		{"white space", `{"a":` + strings.Repeat(" ", 300_000) + `1}` + strings.Repeat("\n", 200_000), true},
		{"string", `{"a":"` + strings.Repeat("x", 300_000) + `"}`, true},
		{"string without an end", `{"a":"` + strings.Repeat("x", 300_000), false},
		{"control character in a long string", `{"a":"` + strings.Repeat("x", 300_000) + "\x01" + `"}`, false},
		{"number", `{"a":1` + strings.Repeat("0", 300_000) + `}`, false},
		{"fraction", `{"a":0.` + strings.Repeat("1", 5_000) + `}`, false},
		{"fraction of usual length", `{"a":0.` + strings.Repeat("1", 500) + `}`, true},
	} {
		if _, err := jsonraw.Scan([]byte(c.body), &root, nil); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

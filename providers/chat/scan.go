package chat

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// span is a range of bytes of a body.
type span struct{ start, end int }

func (s span) of(b []byte) []byte { return b[s.start:s.end] }

// member is where a member lies: its name with the quotes, and its value.
type member struct{ key, value span }

// scanner reads a request once and refuses whatever two parsers might read in
// two ways. It takes no memory besides its own for requests of usual size.
type scanner struct {
	views

	b       []byte
	i       int
	top     *field // the top-level member that is being scanned
	base    int    // where its value starts
	members []member
	seen    seen
}

// request scans b as a body.
func (s *scanner) request() *FieldError {
	if err := s.bytes(); err != nil {
		return err
	}
	if s.i = spaceEnd(s.b, 0); s.i == len(s.b) || s.b[s.i] != '{' {
		return s.broken("the body must be a JSON object")
	}
	if err := s.whole(s.root, 0); err != nil {
		return err
	}
	return s.bounds()
}

// whole scans b as one value that obeys f and lies in depth containers.
func (s *scanner) whole(f *field, depth int) *FieldError {
	s.i = spaceEnd(s.b, 0)
	if err := s.value(f, depth); err != nil {
		return err
	}
	if s.i = spaceEnd(s.b, s.i); s.i < len(s.b) {
		return s.broken("remove what follows the end of the JSON value")
	}
	return nil
}

// bytes refuses what is wrong whatever the tokens are.
func (s *scanner) bytes() *FieldError {
	switch {
	case bytes.HasPrefix(s.b, []byte("\xef\xbb\xbf")):
		return s.broken("remove the byte order mark")
	case !utf8.Valid(s.b):
		return s.broken("encode the body as UTF-8")
	}
	return nil
}

// value scans the value at s.i, which lies in depth containers.
func (s *scanner) value(f *field, depth int) *FieldError {
	if s.i == len(s.b) {
		return s.broken("the JSON ends too early; send all of it")
	}
	k := kindOf(s.b[s.i])
	if f.kinds&k == 0 && f.kinds != 0 && k != 0 {
		return wrong("must be " + f.kinds.String())
	}
	start := s.i
	var err *FieldError
	switch k {
	case isString:
		err = s.str()
	case isObject:
		err = s.object(f, depth+1)
	case isArray:
		err = s.array(f, depth+1)
	case isNumber:
		err = s.number()
	case isBool, isNull:
		err = s.literal()
	default:
		err = s.broken("a JSON value is expected here")
	}
	if err != nil || f.rule == ruleNone {
		return err
	}
	return s.apply(f, span{start, s.i})
}

// kindOf is the type of the value that begins with c; 0 where none does.
func kindOf(c byte) kind {
	switch c {
	case '"':
		return isString
	case '{':
		return isObject
	case '[':
		return isArray
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return isNumber
	case 't', 'f':
		return isBool
	case 'n':
		return isNull
	}
	return 0
}

func (s *scanner) object(f *field, depth int) *FieldError {
	var usual [16][]byte
	names := usual[:0]
	if err := s.open(depth); err != nil {
		return err
	}
	for {
		more, err := s.more('}', len(names))
		if err != nil {
			return err
		}
		if !more {
			return s.check(f, names)
		}
		key, err := s.name()
		if err != nil {
			return err
		}
		if len(names) == MaxMembers || f.most > 0 && len(names) == f.most {
			return wrong("has more than " + strconv.Itoa(len(names)) + " members; send fewer")
		}
		name := Quoted(key.of(s.b)).Bytes()
		names = append(names, name)
		if err := s.member(f, key, depth); err != nil {
			return err.under(name)
		}
	}
}

// open consumes the bracket of a container.
func (s *scanner) open(depth int) *FieldError {
	if depth > MaxDepth {
		return &FieldError{Code: "invalid_json", Message: fmt.Sprintf("nested more than %d levels deep; flatten it", MaxDepth)}
	}
	s.i = spaceEnd(s.b, s.i+1)
	return nil
}

// more reports whether another element comes after the n that were, and consumes
// the comma before it or the closing bracket.
func (s *scanner) more(closing byte, n int) (bool, *FieldError) {
	s.i = spaceEnd(s.b, s.i)
	switch {
	case s.i == len(s.b):
		return false, s.broken("the JSON ends too early; send all of it")
	case s.b[s.i] == closing:
		s.i++
		return false, nil
	case n == 0:
		return true, nil
	case s.b[s.i] != ',':
		return false, s.broken("a comma or " + strconv.QuoteRune(rune(closing)) + " is expected here")
	}
	s.i = spaceEnd(s.b, s.i+1)
	return true, nil
}

// member scans what belongs to a name.
func (s *scanner) member(f *field, key span, depth int) *FieldError {
	name := Quoted(key.of(s.b))
	below, err := f.member(name.Bytes())
	if err != nil {
		return err
	}
	if below.rule == ruleNoNUL && hasNUL(name) {
		return wrong(`must have a name without the character \u0000`)
	}
	start := s.i
	if f == s.root {
		s.top, s.base = below, start
	}
	if err := s.value(below, depth); err != nil {
		return err
	}
	if f == s.root {
		s.members = append(s.members, member{key, span{start, s.i}})
	}
	return nil
}

// name scans a member's name and the colon.
func (s *scanner) name() (span, *FieldError) {
	key := span{s.i, s.i}
	if s.i == len(s.b) || s.b[s.i] != '"' {
		return key, s.broken("a member's name in double quotes is expected here")
	}
	if err := s.str(); err != nil {
		return key, err
	}
	key.end = s.i
	if s.i = spaceEnd(s.b, s.i); s.i == len(s.b) || s.b[s.i] != ':' {
		return key, s.broken("a colon is expected here")
	}
	s.i = spaceEnd(s.b, s.i+1)
	return key, nil
}

// check is for an object as a whole: no name twice, none missing.
func (s *scanner) check(f *field, names [][]byte) *FieldError {
	if twice := s.seen.twice(names); twice != nil {
		return (&FieldError{Code: "duplicate_field", Message: "send this member once"}).under(twice)
	}
	for i := range f.fields[:f.required] {
		if name := f.fields[i].name; !contains(names, name) {
			return &FieldError{Code: "missing_field", Param: name, Message: "send this member"}
		}
	}
	return nil
}

func contains(names [][]byte, name string) bool {
	for _, n := range names {
		if string(n) == name {
			return true
		}
	}
	return false
}

func (s *scanner) array(f *field, depth int) *FieldError {
	if err := s.open(depth); err != nil {
		return err
	}
	each := f.each
	if each == nil {
		each = &anything
	}
	for n := 0; ; n++ {
		more, err := s.more(']', n)
		if err != nil || !more {
			return err
		}
		if f.most > 0 && n == f.most {
			return wrong("has more than " + strconv.Itoa(n) + " elements; send fewer")
		}
		if err := s.value(each, depth); err != nil {
			return err.at(n)
		}
	}
}

func (s *scanner) str() *FieldError {
	for i := s.i + 1; ; {
		i = plainEnd(s.b, i)
		switch {
		case i == len(s.b):
			return s.broken("this string has no end")
		case s.b[i] == '"':
			s.i = i + 1
			return nil
		case s.b[i] < ' ':
			s.i = i
			return s.broken(`write control characters in strings as \n, \t or \u00XX`)
		}
		end, lone := escapeEnd(s.b, i)
		if end < 0 || lone {
			s.i = i
			return s.broken(`this escape sequence is none, or half of a surrogate pair`)
		}
		i = end
	}
}

func (s *scanner) number() *FieldError {
	end := numberEnd(s.b, s.i)
	if end < 0 {
		return s.broken("this is not a number in JSON")
	}
	if !finite(s.b[s.i:end]) {
		return wrong("must be a number that is not beyond a 64-bit float")
	}
	s.i = end
	return nil
}

func (s *scanner) literal() *FieldError {
	end := literalEnd(s.b, s.i)
	if end < 0 {
		return s.broken("this word is not true, false or null")
	}
	s.i = end
	return nil
}

// member is the field of that name. A name that differs from a known one only
// by case is refused: some parsers, encoding/json among them, would take it for
// that one (and ſ for s), others would not.
func (f *field) member(name []byte) (*field, *FieldError) {
	for i := range f.fields {
		if string(name) == f.fields[i].name {
			return &f.fields[i], nil
		}
	}
	if len(f.fields) > 0 && !lower(name) {
		for i := range f.fields {
			if known := f.fields[i].name; strings.EqualFold(string(name), known) {
				return nil, &FieldError{Code: "duplicate_field", Message: "some parsers would read this name as " +
					strconv.Quote(known) + "; write it like that"}
			}
		}
	}
	if f.each != nil && len(f.fields) == 0 {
		return f.each, nil
	}
	return &anything, nil
}

// lower reports whether a name is in ASCII without capitals, and so cannot be
// another spelling of a known name.
func lower(name []byte) bool {
	for _, c := range name {
		if c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

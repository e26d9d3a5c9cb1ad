package jsonraw

import (
	"bytes"
	"fmt"
	"strconv"
)

// Reader reads the values whose fields have a Rule, and may refuse them.
type Reader interface {
	Read(Value) *FieldError
}

// Value is a scanned value of the correct type.
type Value struct {
	Field *Field
	Top   *Field // of the top-level member that contains it
	Raw   []byte
	At    Span // its position, relative to the start of the top-level member's value
	// Path is the path of a Placed field's value in the body, such as messages[0].name; "" if
	// a member is scanned on its own.
	Path string
}

// Scan reads body once and refuses whatever two parsers might read differently, and whatever
// root or r refuses. For bodies of ordinary size it allocates nothing but the index.
func Scan(body []byte, root *Field, r Reader) (Index, *FieldError) {
	s := scanner{b: body, root: root, reader: r, members: make([]entry, 0, 16)}
	if err := s.bytes(); err != nil {
		return Index{}, err
	}
	if s.i = s.pace.spaceEnd(s.b, 0); s.i == len(s.b) || s.b[s.i] != '{' {
		return Index{}, s.broken("the body must be a JSON object")
	}
	if err := s.whole(s.root, 0); err != nil {
		return Index{}, err
	}
	return Index{body, s.members}, nil
}

// ScanMember scans value as the value of a top-level member whose field is f.
func ScanMember(value []byte, f *Field, r Reader) *FieldError {
	s := scanner{b: bytes.TrimSpace(value), top: f, reader: r}
	if err := s.bytes(); err != nil {
		return err
	}
	return s.whole(f, 1)
}

type scanner struct {
	b       []byte
	i       int
	pace    Pace
	root    *Field
	reader  Reader
	top     *Field // the top-level member being scanned
	base    int    // the start of its value
	members []entry
	seen    seen
	steps   [maxSteps]step // the path to the value being scanned, along known fields
	depth   int            // the number of steps
}

// maxSteps is more than the greatest depth of known fields.
const maxSteps = 12

// step is a member's name, or a position in an array if there is none.
type step struct {
	name Span
	at   int
}

func (s *scanner) enter(to step) {
	if s.depth < maxSteps {
		s.steps[s.depth] = to
	}
	s.depth++
}

// plain returns a name in a form that cannot be taken for a path of several names.
func plain(name []byte) []byte {
	if !bytes.ContainsAny(name, ".[]") {
		return name
	}
	return bytes.Map(func(r rune) rune {
		if r == '.' || r == '[' || r == ']' {
			return '?'
		}
		return r
	}, name)
}

// path returns the path of the value being scanned.
func (s *scanner) path() string {
	if s.root == nil {
		return ""
	}
	var e FieldError
	for i := min(s.depth, maxSteps) - 1; i >= 0; i-- {
		if to := s.steps[i]; to.name != (Span{}) {
			_ = e.Under(plain(Quoted(to.name.Of(s.b)).Bytes()))
		} else {
			_ = e.at(to.at)
		}
	}
	return e.Param
}

// read passes a value to the reader.
func (s *scanner) read(f *Field, at Span) *FieldError {
	raw := at.Of(s.b)
	if f.NoNUL && raw[0] == '"' && hasNUL(raw) {
		return Wrong(`must not hold the character \u0000`)
	}
	if f.Rule == 0 {
		return nil
	}
	v := Value{Field: f, Top: s.top, Raw: raw, At: at.from(s.base)}
	if f.Placed {
		v.Path = s.path()
	}
	return s.reader.Read(v)
}

func hasNUL(q Quoted) bool { return bytes.IndexByte(q.Bytes(), 0) >= 0 }

// broken returns the error for a body that is not JSON, or that not every parser reads the
// same way.
func (s *scanner) broken(what string) *FieldError {
	return &FieldError{Code: "invalid_json", Message: fmt.Sprintf("%s (byte %d)", what, s.i)}
}

// whole scans b as one value that satisfies f and is nested in depth containers.
func (s *scanner) whole(f *Field, depth int) *FieldError {
	s.i = s.pace.spaceEnd(s.b, 0)
	if err := s.value(f, depth); err != nil {
		return err
	}
	if s.i = s.pace.spaceEnd(s.b, s.i); s.i < len(s.b) {
		return s.broken("remove what follows the end of the JSON value")
	}
	return nil
}

// bytes refuses what is wrong regardless of the tokens.
func (s *scanner) bytes() *FieldError {
	switch {
	case bytes.HasPrefix(s.b, []byte("\xef\xbb\xbf")):
		return s.broken("remove the byte order mark")
	case !ValidUTF8(s.b):
		return s.broken("encode the body as UTF-8")
	}
	return nil
}

// value scans the value at s.i, which is nested in depth containers.
func (s *scanner) value(f *Field, depth int) *FieldError {
	if s.i == len(s.b) {
		return s.broken("the JSON ends too early; send all of it")
	}
	s.pace.At(s.i)
	k := KindOf(s.b[s.i])
	if f.Kinds&k == 0 && f.Kinds != 0 && k != 0 {
		return Wrong("must be " + f.Kinds.String())
	}
	start := s.i
	var err *FieldError
	switch k {
	case StringKind:
		err = s.str()
	case ObjectKind:
		err = s.object(f, depth+1)
	case ArrayKind:
		err = s.array(f, depth+1)
	case NumberKind:
		err = s.number()
	case BoolKind, NullKind:
		err = s.literal()
	default:
		err = s.broken("a JSON value is expected here")
	}
	if err != nil || f.Rule == 0 && !f.NoNUL {
		return err
	}
	return s.read(f, Span{start, s.i})
}

func (s *scanner) object(f *Field, depth int) *FieldError {
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
		if len(names) == MaxMembers || f.Most > 0 && len(names) == f.Most {
			return Wrong("has more than " + strconv.Itoa(len(names)) + " members; send fewer")
		}
		name := Quoted(key.Of(s.b)).Bytes()
		names = append(names, name)
		if err := s.member(f, key, depth); err != nil {
			return err.Under(name)
		}
	}
}

// open consumes the opening bracket of a container.
func (s *scanner) open(depth int) *FieldError {
	if depth > MaxDepth {
		return &FieldError{Code: "invalid_json", Message: fmt.Sprintf("nested more than %d levels deep; flatten it", MaxDepth)}
	}
	s.i = s.pace.spaceEnd(s.b, s.i+1)
	return nil
}

// more reports whether another element follows the first n, and consumes the comma before it
// or the closing bracket.
func (s *scanner) more(closing byte, n int) (bool, *FieldError) {
	s.i = s.pace.spaceEnd(s.b, s.i)
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
	s.i = s.pace.spaceEnd(s.b, s.i+1)
	return true, nil
}

// member scans the value that belongs to a name.
func (s *scanner) member(f *Field, key Span, depth int) *FieldError {
	name := Quoted(key.Of(s.b))
	below, err := f.Member(name.Bytes())
	if err != nil {
		return err
	}
	if below.NoNUL && hasNUL(name) {
		return Wrong(`must have a name without the character \u0000`)
	}
	start := s.i
	if f == s.root {
		s.top, s.base = below, start
	}
	s.enter(step{name: key})
	if err := s.value(below, depth); err != nil {
		return err
	}
	s.depth--
	if f == s.root {
		s.members = append(s.members, entry{key, Span{start, s.i}})
	}
	return nil
}

// name scans a member's name and the colon.
func (s *scanner) name() (Span, *FieldError) {
	key := Span{s.i, s.i}
	if s.i == len(s.b) || s.b[s.i] != '"' {
		return key, s.broken("a member's name in double quotes is expected here")
	}
	if err := s.str(); err != nil {
		return key, err
	}
	key.End = s.i
	if s.i = s.pace.spaceEnd(s.b, s.i); s.i == len(s.b) || s.b[s.i] != ':' {
		return key, s.broken("a colon is expected here")
	}
	s.i = s.pace.spaceEnd(s.b, s.i+1)
	return key, nil
}

// check checks an object as a whole: no duplicate names, and none missing.
func (s *scanner) check(f *Field, names [][]byte) *FieldError {
	if twice := s.seen.twice(names); twice != nil {
		return (&FieldError{Code: "duplicate_field", Message: "send this member once"}).Under(twice)
	}
	for i := range f.Fields[:f.Required] {
		if name := f.Fields[i].Name; !contains(names, name) {
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

func (s *scanner) array(f *Field, depth int) *FieldError {
	if err := s.open(depth); err != nil {
		return err
	}
	each := f.Each
	if each == nil {
		each = &anything
	}
	for n := 0; ; n++ {
		more, err := s.more(']', n)
		if err != nil || !more {
			return err
		}
		if f.Most > 0 && n == f.Most {
			return Wrong("has more than " + strconv.Itoa(n) + " elements; send fewer")
		}
		s.enter(step{at: n})
		if err := s.value(each, depth); err != nil {
			return err.at(n)
		}
		s.depth--
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
		if s.pace.At(i); s.b[i] != '\\' {
			continue // the end of a stretch
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
	if end-s.i > maxNumber {
		return Wrong("has more than " + strconv.Itoa(maxNumber) + " digits; send fewer")
	}
	if !finite(s.b[s.i:end]) {
		return Wrong("must be a number that is not beyond a 64-bit float")
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

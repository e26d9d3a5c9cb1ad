package tokens

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"io"
	"iter"
	"maps"
	"strings"
)

// The cost of PDF pages. Providers read each page as an image, and most also read its text:
// Anthropic documents 1,500 to 3,000 tokens of text per page, Google 258 and up to 1,120 for
// the image.
const (
	pagePicture = 1600
	pageText    = 3000
	mostPages   = 1000 // that a provider accepts: Google
)

// How much of a PDF is read when it is unpacked: so many times its own size, and some more.
const (
	inflateFactor = 8
	leastBudget   = 256 << 10
)

// pdfTokens bounds what a PDF costs by its pages and the text that they show. Its size says
// little: a page may be a scan of several megabytes, and a thousand pages may share one. If the
// pages cannot be counted, because the file is encrypted, compressed in an unknown way, too large
// when unpacked or not written as others write, it is assumed to have as many as any provider
// accepts.
func pdfTokens(file []byte) int64 {
	p := pdf{
		budget: int64(len(file))*inflateFactor + leastBudget,
		nodes:  make(map[int]node), contents: make(map[int]int64), lists: make(map[int][]int),
	}
	p.objects(file)
	for number, times := range maps.Clone(p.contents) {
		for _, listed := range p.lists[number] {
			p.contents[listed] += times
		}
	}
	for _, s := range p.streams {
		p.content(s)
	}
	pages := p.pages()
	text := min(p.text, maxText)
	if pages > int64(p.leaves) { // any of it may be shown on every page
		text *= pages
	}
	text += min(p.forms, maxText) * min(max(pages, p.uses), maxText)
	if p.unseen > 0 {
		text = max(text, pages*pageText) + p.unseen*inflateFactor
	}
	return max(pages*pagePicture+min(text, maxText), leastFile)
}

// maxText keeps text that is shown repeatedly from growing beyond any context.
const maxText = 10_000_000

// pdf collects what is found in a file.
type pdf struct {
	budget   int64         // bytes that may still be unpacked
	nodes    map[int]node  // of the page tree, by object number
	lists    map[int][]int // objects that are lists of others
	contents map[int]int64 // how often pages name an object as their contents
	streams  []pdfStream
	leaves   int   // objects that are pages
	text     int64 // bytes of text that pages show, each time
	forms    int64 // likewise, of what the contents of pages may show any number of times
	uses     int64 // how often they show something else
	unseen   int64 // bytes of streams that cannot be read and may show text
	hidden   bool  // there may be pages that were not seen

	inflater io.ReadCloser
}

// node is an object of the page tree, in any of its versions.
type node struct {
	page bool
	kids []int
	told int64 // its own count of pages
}

// pdfStream is an object with data.
type pdfStream struct {
	number     int
	dict, data []byte
}

// pdfSpace is what separates words.
const pdfSpace = "\x00\t\n\f\r "

// objects visits the objects of a file, wherever one begins: a reader finds them by a table that
// may point anywhere, into the data of another, too.
func (p *pdf) objects(file []byte) {
	p.hidden = bytes.Contains(file, []byte("/Encrypt"))
	number, begins := 0, -1
	for i := 0; ; {
		at := bytes.Index(file[i:], []byte("obj"))
		if at < 0 {
			break
		}
		at += i
		i = at + len("obj")
		next, from := headed(file[max(0, at-longestHeading):at])
		switch {
		case from < 0: // of endobj, or no heading that we know
			p.hidden = p.hidden || at > 0 && strings.IndexByte(pdfSpace, file[at-1]) >= 0 && (i == len(file) || !inName(file[i]))
			continue
		case begins >= 0:
			p.object(number, file[begins:max(at-from, begins)])
		}
		number, begins = next, i
	}
	if begins >= 0 {
		p.object(number, file[begins:])
		p.hidden = p.hidden || p.leaves == 0
	}
}

// longestHeading is the length of text before "obj" in which the numbers of an object are found.
const longestHeading = 64

// headed returns the number of the object whose heading is at the end of text, "12 0 ", and how
// long the heading is: -1 if there is none.
func headed(text []byte) (number, size int) {
	rest := bytes.TrimRight(text, pdfSpace)
	version := bytes.TrimRight(rest, pdfDigits)
	words := bytes.TrimRight(version, pdfSpace)
	first := bytes.TrimRight(words, pdfDigits)
	if len(rest) == len(text) || len(version) == len(rest) || len(words) == len(version) || len(first) == len(words) {
		return 0, -1
	}
	return int(whole64(words[len(first):])), len(text) - len(first)
}

const pdfDigits = "0123456789"

// object processes one object, of which what follows it in the file may be a part.
func (p *pdf) object(number int, body []byte) {
	dict, data, found := bytes.Cut(body, []byte("stream"))
	if !found {
		dict, _, _ = bytes.Cut(dict, []byte("endobj"))
	}
	if bytes.HasSuffix(dict, []byte("end")) { // the rest of a stream in which there was a heading
		p.streams = append(p.streams, pdfStream{number: number, data: dict})
	}
	dict = unescaped(dict)
	p.dictionary(number, dict)
	if !found {
		return
	}
	data = bytes.TrimLeft(data, "\r\n")
	p.dictionary(number, data) // the word may be a part of the dictionary
	if bytes.Contains(dict, []byte("/ObjStm")) || has(dict, "/First") && has(dict, "/N") {
		p.packed(dict, data)
	} else {
		p.streams = append(p.streams, pdfStream{number, dict, data})
	}
}

// unescaped returns a dictionary whose names are written without escapes: /#50age is /Page.
func unescaped(dict []byte) []byte {
	if bytes.IndexByte(dict, '#') < 0 {
		return dict
	}
	out := make([]byte, 0, len(dict))
	for i := 0; i < len(dict); i++ {
		if dict[i] == '#' && i+2 < len(dict) {
			if c, err := hex.DecodeString(string(dict[i+1 : i+3])); err == nil {
				out, i = append(out, c[0]), i+2
				continue
			}
		}
		out = append(out, dict[i])
	}
	return out
}

// content adds the text of a stream. What says that it is a picture or a font is not read, unless
// pages show it all the same.
func (p *pdf) content(s pdfStream) {
	dict, times := s.dict, p.contents[s.number]
	switch {
	case times > 0, has(dict, "/Form"), has(dict, "/Pattern"):
	case has(dict, "/Image"), bytes.Contains(dict, []byte("/FontFile")), bytes.Contains(dict, []byte("/Length1")),
		has(dict, "/XRef"), has(dict, "/Metadata"), has(dict, "/CMap"):
		return
	}
	content, ok := p.unpack(dict, s.data)
	if !ok {
		p.unseen += int64(len(s.data))
	}
	p.uses += int64(bytes.Count(content, []byte(" Do"))) * max(times, 1)
	if times > 0 {
		p.text += shown(content) * times
	} else {
		p.forms += shown(content)
	}
}

// dictionary records what a dictionary says about pages.
func (p *pdf) dictionary(number int, dict []byte) {
	n, known := p.nodes[number]
	if has(dict, "/Page") {
		n.page, known = true, true
		p.leaves++
	}
	for list := range values(dict, "/Contents") {
		named, _ := references(list)
		for _, number := range named {
			p.contents[number]++
		}
	}
	for list := range values(dict, "/Kids") {
		kids, all := references(list)
		n.kids, known, p.hidden = append(n.kids, kids...), true, p.hidden || !all
		for told := range values(dict, "/Count") {
			n.told = max(n.told, whole64(told))
		}
	}
	if list := bytes.TrimLeft(dict, pdfSpace); len(list) > 0 && list[0] == '[' { // others may name it instead of a list
		p.lists[number], _ = references(list)
	}
	if known {
		p.nodes[number] = n
	}
}

// values yields what follows a name wherever it is in a dictionary.
func values(dict []byte, name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			_, after, found := bytes.Cut(dict, []byte(name))
			if !found || !yield(bytes.TrimLeft(after, pdfSpace)) {
				return
			}
			dict = after
		}
	}
}

// packed processes the objects inside a stream.
func (p *pdf) packed(dict, stream []byte) {
	content, ok := p.unpack(dict, stream)
	p.hidden = p.hidden || !ok
	first := int64(0)
	for told := range values(dict, "/First") {
		first = whole64(told)
		at := bytes.Fields(told[:min(len(told), longestHeading)])
		p.hidden = p.hidden || len(at) > 2 && at[2][0] == 'R' // it stands elsewhere
	}
	if first <= 0 || first > int64(len(content)) {
		p.hidden = true
		return
	}
	index := bytes.Fields(content[:first])
	for k := 0; k+1 < len(index); k += 2 {
		start, end := first+whole64(index[k+1]), int64(len(content))
		if k+3 < len(index) {
			end = min(end, first+whole64(index[k+3]))
		}
		if start >= end {
			p.hidden = true
			return
		}
		p.dictionary(int(whole64(index[k])), unescaped(content[start:end]))
	}
}

// unpack returns the contents of a stream. It returns false if they cannot be read completely.
func (p *pdf) unpack(dict, stream []byte) ([]byte, bool) {
	filters := bytes.Count(dict, []byte("Decode"))
	switch {
	case filters == 0 && !bytes.Contains(dict, []byte("/Filter")):
		return stream, true
	case filters != 1 || !bytes.Contains(dict, []byte("/FlateDecode")):
		return nil, false
	}
	var err error
	if p.inflater == nil {
		p.inflater, err = zlib.NewReader(bytes.NewReader(stream))
	} else {
		err = p.inflater.(zlib.Resetter).Reset(bytes.NewReader(stream), nil)
	}
	if err != nil {
		return nil, false
	}
	content, err := io.ReadAll(io.LimitReader(p.inflater, p.budget+1))
	p.budget -= int64(len(content))
	return content, err == nil && p.budget >= 0
}

// pages returns how many pages the file may have: as many as any node of the tree leads to or
// claims to have.
func (p *pdf) pages() int64 {
	if p.hidden {
		return mostPages
	}
	counted := make(map[int]int64)
	pages := int64(p.leaves)
	for number, n := range p.nodes {
		pages = max(pages, p.under(number, counted, 0), n.told)
	}
	return min(pages, mostPages)
}

// deepestTree is how deep a page tree is followed.
const deepestTree = 64

// under returns how many pages a node leads to, counting a page as often as it is named.
func (p *pdf) under(number int, counted map[int]int64, depth int) int64 {
	if n, ok := counted[number]; ok {
		return n
	}
	n, known := p.nodes[number]
	if !known {
		n.kids = p.lists[number]
	}
	if len(n.kids) == 0 {
		return 1
	}
	if depth > deepestTree {
		return mostPages
	}
	counted[number] = mostPages // a cycle has no end
	sum := int64(0)
	if n.page {
		sum = 1
	}
	for _, kid := range n.kids {
		sum = min(sum+p.under(kid, counted, depth+1), mostPages)
	}
	counted[number] = sum
	return sum
}

// references returns the objects that a list names: [3 0 R 4 0 R]; false if it has anything else.
// A list that is itself stored elsewhere is one reference.
func references(list []byte) (numbers []int, all bool) {
	single := len(list) == 0 || list[0] != '['
	if !single {
		list, _, _ = bytes.Cut(list[1:], []byte("]"))
	}
	fields := bytes.Fields(list)
	for i := 0; i+2 < len(fields) && len(numbers) < mostPages; i += 3 {
		if fields[i+2][0] != 'R' {
			return numbers, false
		}
		numbers = append(numbers, int(whole64(fields[i])))
		if single {
			return numbers, true
		}
	}
	return numbers, len(fields)%3 == 0 || len(numbers) == mostPages
}

// has reports whether a dictionary contains exactly this name: /Page does not match /Pages.
func has(dict []byte, name string) bool {
	for {
		i := bytes.Index(dict, []byte(name))
		if i < 0 {
			return false
		}
		dict = dict[i+len(name):]
		if len(dict) == 0 || !inName(dict[0]) {
			return true
		}
	}
}

func inName(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' }

// whole64 returns the number that text begins with.
func whole64(text []byte) (n int64) {
	for _, c := range text {
		if c < '0' || c > '9' || n > maxText {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// shown returns how many bytes of text a content stream shows: those in its strings, which have
// one or more bytes for each character on the page.
func shown(content []byte) (n int64) {
	if !bytes.Contains(content, []byte("Tj")) && !bytes.Contains(content, []byte("TJ")) && !bytes.Contains(content, []byte("BT")) {
		return 0
	}
	depth := 0
	for i := 0; i < len(content); i++ {
		switch c := content[i]; {
		case c == '\\' && depth > 0:
			i, n = i+1, n+1
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
			n++
		case c == '<':
			end := bytes.IndexByte(content[i:], '>')
			if end < 0 {
				return n + int64(len(content)-i)
			}
			n, i = n+int64(end)/2, i+end
		}
	}
	return n
}

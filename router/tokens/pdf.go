package tokens

import (
	"bytes"
	"compress/zlib"
	"io"
	"strconv"
)

// The cost of PDF pages. Providers read each page as an image, and most also read its text:
// Anthropic documents 1,500 to 3,000 tokens of text per page, Google 258 and up to 1,120 for
// the image.
const (
	pagePicture = 1600
	pageText    = 3000
	mostPages   = 1000 // that a provider accepts: Google
)

// inflateFactor is how many times a PDF's own size is read when it is unpacked.
const inflateFactor = 8

// pdfTokens bounds what a PDF costs by its pages and the text that they show. Its size says
// little: a page may be a scan of several megabytes, and a thousand pages may share one. If the
// pages cannot be counted, because the file is encrypted, compressed in an unknown way or too
// large when unpacked, it is assumed to have as many as any provider accepts.
func pdfTokens(file []byte) int64 {
	p := pdf{budget: int64(len(file)) * inflateFactor, nodes: make(map[int]node)}
	p.objects(file)
	pages := p.pages()
	text := p.text
	if p.shared || pages > int64(p.leaves) {
		text = min(text*max(pages, 1), int64(maxText)) // it may be shown on every page
	}
	if p.blind {
		text = max(text, pages*pageText)
	}
	return max(pages*pagePicture+text, leastFile)
}

// maxText keeps text that is shown repeatedly from growing beyond any context.
const maxText = 10_000_000

// pdf collects what is found in a file.
type pdf struct {
	budget int64        // bytes that may still be unpacked
	nodes  map[int]node // of the page tree, by object number
	leaves int          // objects that are pages
	text   int64        // bytes of text that are shown
	hidden bool         // there may be pages that were not seen
	blind  bool         // there may be text that was not seen
	shared bool         // some text is in pieces that several pages may show

	inflater io.ReadCloser
}

// node is an object of the page tree, in any of its versions.
type node struct {
	page bool
	kids []int
	told int64 // its own count of pages
}

// objects visits the objects of a file.
func (p *pdf) objects(file []byte) {
	p.hidden = bytes.Contains(file, []byte("/Encrypt"))
	for i := 0; ; {
		at := bytes.Index(file[i:], []byte(" obj"))
		if at < 0 {
			return
		}
		at += i
		body := file[at+len(" obj"):]
		end := bytes.Index(body, []byte("endobj"))
		if end < 0 {
			p.object(numberBefore(file[:at]), body)
			p.hidden = p.hidden || bytes.Contains(body, []byte(" obj"))
			return
		}
		p.object(numberBefore(file[:at]), body[:end])
		p.hidden = p.hidden || bytes.Count(body[:end], []byte(" obj")) > 0 && !bytes.Contains(body[:end], []byte("stream"))
		i = at + len(" obj") + end
	}
}

// numberBefore returns the number of the object whose heading is at the end of text: "12 0".
func numberBefore(text []byte) int {
	text = text[max(0, len(text)-24):]
	i := bytes.LastIndexByte(text, ' ')
	if i < 0 {
		return -1
	}
	text = text[:i]
	j := len(text)
	for j > 0 && '0' <= text[j-1] && text[j-1] <= '9' {
		j--
	}
	n, err := strconv.Atoi(string(text[j:]))
	if err != nil {
		return -1
	}
	return n
}

// object processes one object.
func (p *pdf) object(number int, body []byte) {
	dict, stream := body, []byte(nil)
	if i := bytes.Index(body, []byte("stream")); i >= 0 {
		dict, stream = body[:i], bytes.TrimLeft(body[i+len("stream"):], "\r\n")
	}
	p.dictionary(number, dict)
	if stream == nil {
		return
	}
	switch {
	case bytes.Contains(dict, []byte("/ObjStm")):
		p.packed(dict, stream)
	case has(dict, "/Image"), bytes.Contains(dict, []byte("/FontFile")), bytes.Contains(dict, []byte("/Length1")),
		has(dict, "/XRef"), has(dict, "/Metadata"), has(dict, "/CMap"):
	default:
		p.shared = p.shared || has(dict, "/Form") || has(dict, "/Pattern")
		content, ok := p.unpack(dict, stream)
		p.blind = p.blind || !ok
		p.text += shown(content)
	}
}

// dictionary records what a dictionary says about pages.
func (p *pdf) dictionary(number int, dict []byte) {
	n, known := p.nodes[number]
	if has(dict, "/Page") {
		n.page, known = true, true
		p.leaves++
	}
	if i := bytes.Index(dict, []byte("/Kids")); i >= 0 {
		n.kids, known = append(n.kids, references(dict[i+len("/Kids"):])...), true
		if i := bytes.Index(dict, []byte("/Count")); i >= 0 {
			n.told = max(n.told, whole64(bytes.TrimLeft(dict[i+len("/Count"):], " \r\n\t")))
		}
	}
	if known {
		p.nodes[number] = n
	}
}

// packed processes the objects inside a stream.
func (p *pdf) packed(dict, stream []byte) {
	content, ok := p.unpack(dict, stream)
	p.hidden = p.hidden || !ok
	i := bytes.Index(dict, []byte("/First"))
	if i < 0 {
		p.hidden = true
		return
	}
	first := whole64(bytes.TrimLeft(dict[i+len("/First"):], " \r\n\t"))
	if first <= 0 || first > int64(len(content)) {
		p.hidden = p.hidden || len(content) > 0
		return
	}
	index := bytes.Fields(content[:first])
	for k := 0; k+1 < len(index); k += 2 {
		start := first + whole64(index[k+1])
		end := int64(len(content))
		if k+3 < len(index) {
			end = min(end, first+whole64(index[k+3]))
		}
		if start < end {
			p.dictionary(int(whole64(index[k])), content[start:end])
		}
	}
}

// unpack returns the contents of a stream. It returns false if they cannot be read completely.
func (p *pdf) unpack(dict, stream []byte) ([]byte, bool) {
	filters := bytes.Count(dict, []byte("Decode")) - bytes.Count(dict, []byte("/DecodeParms"))
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
	if !known || len(n.kids) == 0 {
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

// references returns the objects that a list names: [3 0 R 4 0 R]. A list that is itself stored
// elsewhere is one reference.
func references(list []byte) (numbers []int) {
	list = bytes.TrimLeft(list, " \r\n\t")
	if len(list) > 0 && list[0] == '[' {
		end := bytes.IndexByte(list, ']')
		if end < 0 {
			end = len(list)
		}
		list = list[1:end]
	}
	fields := bytes.Fields(list)
	for i := 0; i+2 < len(fields) && len(numbers) < mostPages; i += 3 {
		if fields[i+2][0] != 'R' {
			break
		}
		numbers = append(numbers, int(whole64(fields[i])))
	}
	return numbers
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

package gemini

import (
	"strings"
	"unicode/utf8"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// annotations are the sources of an answer as citations of URLs, nil where there
// are none. Google counts a place in the text in bytes, the OpenAI format in
// characters. Of a stream the text is not kept, and so Google's numbers stay.
func annotations(text string, grounded []byte) [][]byte {
	var chunks [][]byte
	for c := range jsonraw.Elements(jsonraw.Lookup(grounded, "groundingChunks")) {
		chunks = append(chunks, jsonraw.Lookup(c, "web"))
	}
	var list [][]byte
	for support := range jsonraw.Elements(jsonraw.Lookup(grounded, "groundingSupports")) {
		var n translate.Counter
		start, end := n.At(support, "segment", "startIndex"), n.At(support, "segment", "endIndex")
		for index := range jsonraw.Elements(jsonraw.Lookup(support, "groundingChunkIndices")) {
			if i := n.Take(index); i < int64(len(chunks)) && chunks[i] != nil {
				list = append(list, citation(chunks[i], characters(text, start), characters(text, end)))
			}
		}
	}
	return list
}

func citation(web []byte, start, end int64) []byte {
	var o jsonraw.Object
	o.Int("start_index", start)
	o.Int("end_index", end)
	o.Text("url", jsonraw.Text(jsonraw.Lookup(web, "uri")))
	o.Text("title", jsonraw.Text(jsonraw.Lookup(web, "title")))
	var a jsonraw.Object
	a.Text("type", "url_citation")
	a.Raw("url_citation", o.Bytes())
	return a.Bytes()
}

// characters is how many characters the first so many bytes of a text are.
func characters(text string, n int64) int64 {
	if n > int64(len(text)) {
		return n
	}
	return int64(utf8.RuneCountInString(strings.ToValidUTF8(text[:n], "")))
}
